"""The listening socket: bound before anything slow, so that a busy port is told at once."""

import errno
import ipaddress
import socket

from tinkery_local.errors import UserError

BACKLOG = 2048


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to a loopback address, not yet listening. Raises UserError when it can't be had."""
    family, address = _resolve(host, port)
    if not ipaddress.ip_address(address[0]).is_loopback:
        raise UserError(
            f"--host {host}: this server has no authentication and listens on loopback addresses only; "
            "use 127.0.0.1, and a tunnel (ssh -L) to reach it from elsewhere."
        )
    # asyncio turns Nagle's algorithm off only for sockets that say they are TCP; with it every answer takes 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _refused(error, host, port) from error
    return listener


def listen(listener: socket.socket) -> None:
    """Let clients connect. Raises UserError if another server took the port since it was bound."""
    try:
        listener.listen(BACKLOG)
    except OSError as error:
        host, port = listener.getsockname()[:2]
        raise _refused(error, host, port) from error


def url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise UserError(
            f"--host {host}: not an address of this machine ({error.strerror}); try 127.0.0.1."
        ) from None
    return family, (str(address[0]), port)


def _refused(error: OSError, host: str, port: int) -> UserError:
    if error.errno == errno.EADDRINUSE:
        return UserError(
            f"--port {port}: something listens on {host}:{port} already, perhaps another tinkery-local; "
            "stop it, choose another port, or let --port 0 find a free one."
        )
    return UserError(f"--port {port}: can't listen on {host}:{port} ({error.strerror}); try --port 0.")
