"""What a run shows: one line a step, and below them a bar with the headline metrics and the time left."""

from __future__ import annotations

import logging
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)


class RunConsole:
    """Prints for people, and writes the same lines to log.txt.

    On a terminal a progress bar stays below the lines; elsewhere, or with `plain`, there are lines only. `prefix`
    tells the lines of parallel runs apart.
    """

    def __init__(self, *, plain: bool = False, prefix: str = "") -> None:
        self._log: Path | None = None
        self._prefix = prefix
        self._console = Console(highlight=False, soft_wrap=True, file=sys.stdout)
        self._bar = None if plain or not self._console.is_terminal else _bar(self._console)
        self._task: TaskID | None = None
        self._total: int | None = None
        self._shown: Mapping[str, str] = {}
        self._latest: dict[str, float] = {}

    @contextmanager
    def logging_to(self, log: Path) -> Generator[None]:
        """Write lines, and what libraries log, to this file too until the end, which takes the bar down."""
        self._log = log
        handler = _ForwardTo(self)
        root = logging.getLogger()
        root.addHandler(handler)
        try:
            yield
        finally:
            root.removeHandler(handler)
            self.end_progress()

    def print(self, text: str, style: str = "") -> None:
        """Lines on the console and, with the time, in log.txt."""
        self.log(text)
        prefixed = "\n".join(self._prefix + line for line in text.splitlines())
        self._console.print(prefixed, style=style, markup=False)

    def error(self, text: str) -> None:
        """Lines on standard error, and in log.txt if the disk still takes them."""
        with suppress(OSError):
            self.log(text)
        prefixed = "\n".join(self._prefix + line for line in text.splitlines())
        self.end_progress()
        print(prefixed, file=sys.stderr, flush=True)

    def log(self, text: str) -> None:
        """Lines in log.txt only."""
        if self._log is None:
            return
        stamp = datetime.now().strftime("%H:%M:%S")
        with self._log.open("a", encoding="utf-8") as file:
            file.write("".join(f"{stamp} {line}\n" for line in text.splitlines()))

    def start(self, total_steps: int, done: int, shown: Mapping[str, str]) -> None:
        """Begin to count: `done` of `total_steps` are behind us; `shown` maps labels to metric keys."""
        self._total, self._shown = total_steps, shown
        if self._bar is not None:
            self._task = self._bar.add_task("", total=total_steps, completed=done, headline="")
            self._bar.start()

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """One line for one line of metrics.jsonl."""
        values = {label: metrics[key] for label, key in self._shown.items() if key in metrics}
        self._latest |= values
        seconds = f" · {metrics['time/total']:.1f} s" if "time/total" in metrics else ""
        if values or seconds:
            of_total = "" if self._total is None else f"/{self._total}"
            self.print(f"step {step:>4}{of_total}  {_numbers(values)}{seconds}")
        if self._bar is not None and self._task is not None:
            done = min(step + 1, self._total or step + 1)
            self._bar.update(self._task, completed=done, headline=_numbers(self._latest))

    def end_progress(self) -> None:
        """Take the bar down: what follows are last words."""
        if self._bar is not None:
            self._bar.stop()

    def summary(self) -> str:
        """The latest of the shown metrics."""
        return _numbers(self._latest)


class _ForwardTo(logging.Handler):
    """What libraries log, the SDK above all, goes to log.txt: the console belongs to the run."""

    def __init__(self, console: RunConsole) -> None:
        super().__init__(logging.WARNING)
        self._run_console = console

    def emit(self, record: logging.LogRecord) -> None:
        self._run_console.log(f"{record.name}: {record.getMessage()}")


def _numbers(values: Mapping[str, float]) -> str:
    return " · ".join(f"{label} {value:.3g}" for label, value in values.items())


def _bar(console: Console) -> Progress:
    return Progress(
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[headline]}"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
        transient=True,
    )
