"""When to stop: at SIGTERM or Ctrl-C, and, if asked to, with the process that started the server."""

import asyncio
import os
import signal
import threading

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignal:
    """An event of the running loop that is set by the first reason to stop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        for number in SIGNALS:
            self._loop.add_signal_handler(number, self._on_signal, number)

    async def wait(self) -> None:
        await self._event.wait()

    def follow_parent(self) -> None:
        """Also stop when stdin ends, or the parent does: its other children may hold stdin open after it."""
        threading.Thread(target=self._read_stdin, name="stdin", daemon=True).start()
        if hasattr(os, "pidfd_open"):  # Linux
            parent = os.pidfd_open(os.getppid())
            self._loop.add_reader(parent, self._on_parent_exit, parent)

    def _on_signal(self, number: int) -> None:
        if self._event.is_set():
            os._exit(128 + number)  # asked twice: now, whatever is lost
        self._event.set()

    def _on_parent_exit(self, parent: int) -> None:
        self._loop.remove_reader(parent)
        self._event.set()

    def _read_stdin(self) -> None:
        try:
            while os.read(0, 4096):
                pass
        except OSError:
            pass  # stdin was closed: the same as its end
        self._loop.call_soon_threadsafe(self._event.set)
