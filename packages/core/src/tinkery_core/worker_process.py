"""What a worker process runs (see `workers.py`): one function after the other, as asked through its stdin.

Both ways a message is its length in eight bytes, then its body. To each Request there are two replies: one as soon
as the function is loaded, then an Answer. These travel as plain tuples, for the sake of unpickling.
"""

from __future__ import annotations

import os
import pickle
import signal
import struct
import sys
import threading
import traceback
from collections.abc import Callable
from queue import SimpleQueue
from typing import IO, Literal, NamedTuple

_LENGTH = struct.Struct(">Q")

_ORPHAN_S = 60.0
"""How long after its time limit a function whose parent is gone goes on, if it lets no other thread run."""


class Request(NamedTuple):
    """`call` is the pickle of a function and its arguments, `path` the parent's sys.path."""

    path: list[str]
    call: bytes
    seconds: float


class Answer(NamedTuple):
    """A pickled value, a pickled exception, or why there is neither, with the function's name left out."""

    kind: Literal["returned", "raised", "failed"]
    value: bytes | str


def read_message(pipe: IO[bytes]) -> bytes:
    """The next message. Raises EOFError if the other side is gone."""
    (length,) = _LENGTH.unpack(_read(pipe, _LENGTH.size))
    return _read(pipe, length)


def _read(pipe: IO[bytes], length: int) -> bytes:
    data = pipe.read(length)
    if len(data) < length:
        raise EOFError
    return data


def write_message(pipe: IO[bytes], body: bytes) -> None:
    """Send a message. Raises OSError if the other side is gone."""
    pipe.write(_LENGTH.pack(len(body)) + body)
    pipe.flush()


def main() -> None:
    """Answer requests until the parent is gone, whatever the function at hand does."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # What a function or a program that it starts reads and prints is not part of the conversation.
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    inbox: SimpleQueue[Request] = SimpleQueue()
    threading.Thread(target=_receive, args=[requests, inbox], daemon=True).start()
    while True:
        request = inbox.get()
        sys.path[:] = request.path
        answer = _answer(request, lambda: write_message(answers, b"loaded"))
        write_message(answers, pickle.dumps(tuple(answer)))


def _receive(requests: IO[bytes], inbox: SimpleQueue[Request]) -> None:
    try:
        while True:
            inbox.put(Request(*pickle.loads(read_message(requests))))
    finally:
        if hasattr(os, "killpg"):
            os.killpg(0, signal.SIGKILL)  # the programs that the function started too
        os._exit(0)


def _answer(request: Request, loaded: Callable[[], None]) -> Answer:
    try:
        function, arguments = pickle.loads(request.call)
    except Exception as error:
        return Answer("failed", f"cannot be loaded in a worker: {type(error).__name__}: {error}")
    finally:
        loaded()
    _end_after(request.seconds + _ORPHAN_S)
    try:
        result = function(*arguments)
    except Exception as error:
        return _raised(error)
    except BaseException as error:
        return Answer("failed", f"raised {type(error).__name__}: {error}")
    finally:
        _end_after(0)
    try:
        return Answer("returned", pickle.dumps(result))
    except Exception as error:
        return Answer("failed", f"returned what does not pickle: {type(error).__name__}: {error}")


def _end_after(seconds: float) -> None:
    """Have the kernel end this process when it has computed for so long on all processors; 0 is never."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds * (os.cpu_count() or 1))


def _raised(error: Exception) -> Answer:
    error.add_note("In a worker process:\n" + "".join(traceback.format_exception(error)))
    try:
        value = pickle.dumps(error)
        pickle.loads(value)  # an exception whose constructor wants more than a message fails here
    except Exception:
        return Answer("failed", f"raised {type(error).__name__}, which does not pickle: {error}")
    return Answer("raised", value)


if __name__ == "__main__":
    main()
