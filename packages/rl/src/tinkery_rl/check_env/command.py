"""`tinkery check-env`: an executable contract for environments, offline and without a policy."""

from __future__ import annotations

import argparse
import asyncio
import queue
import threading
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from tinkery_rl.check_env.report import IN_TIME, CheckFailed, Finding, as_json, print_finding, summary

if TYPE_CHECKING:
    from tinkery_rl.check_env.play import Bounds
    from tinkery_rl.types import RLSetup

GROUPS_PER_BATCH = 2
GRACE_S = 5.0
"""What a call may take beyond its bound before it counts as one that blocks the event loop."""


def check_env(arguments: Sequence[str]) -> int:
    """Check an environment of yours against what training relies on.

    Exit status 0 if no check failed, 1 if one did, 2 for arguments that make no sense.
    """
    from tinkery_rl.check_env.play import Bounds
    from tinkery_rl.check_env.target import find_model, parse_values
    from tinkery_rl.types import RLSetup

    options = _parser().parse_intermixed_args(arguments)
    setup = RLSetup(find_model(options.model), GROUPS_PER_BATCH, options.group_size, options.seed)
    bounds = Bounds(call_s=options.timeout, turns=options.max_turns, says=tuple(options.say))
    findings: list[Finding] = []
    for finding in run_checks(options.builder, parse_values(options.values), setup, bounds):
        findings.append(finding)
        if not options.json:
            print_finding(finding)
    print(as_json(options.builder, findings) if options.json else f"\n{options.builder}: {summary(findings)}")
    return int(any(finding.status == "fail" for finding in findings))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tinkery check-env",
        description="Builds groups, plays them against random tokens, and checks what training relies on. No service.",
    )
    parser.add_argument("builder", help="MODULE:CLASS, an EnvGroupBuilder or RLDatasetBuilder")
    parser.add_argument("values", nargs="*", metavar="key=value", help="its keys, as a config would set them")
    parser.add_argument(
        "--model", default="tinkery/tiny", help="whose chat format is used (default %(default)s)"
    )
    for name, default, text in (
        ("--group-size", 4, "members of a group of a dataset"),
        ("--max-turns", 100, "turns in which an episode has to end"),
    ):
        parser.add_argument(name, type=_at_least_one, default=default, help=f"{text} (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the dataset (default %(default)s)")
    parser.add_argument(
        "--timeout", type=_seconds, default=30.0, help="seconds that one call may take (default %(default)g)"
    )
    parser.add_argument(
        "--say",
        action="append",
        default=[],
        metavar="TEXT",
        help="what is written most of the time, such as a legal move; may be given more than once",
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    return parser


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 1")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds


def run_checks(builder: str, values: dict[str, object], setup: RLSetup, bounds: Bounds) -> Generator[Finding]:
    """Check the class that `builder` names, `module:Class`, with these values.

    All code of the environment runs in a thread that is left behind if it never comes back.
    """
    messages: queue.SimpleQueue[str | Finding | BaseException | None] = queue.SimpleQueue()

    def work() -> None:
        try:
            asyncio.run(_check(builder, values, setup, bounds, messages))
        except BaseException as error:
            messages.put(error)

    threading.Thread(target=work, daemon=True, name="check-env").start()
    place = "starting"
    while True:
        try:
            message = messages.get(timeout=bounds.call_s + GRACE_S)
        except queue.Empty:
            yield Finding(
                IN_TIME,
                "fail",
                f"{place} blocks: it did not come back within {bounds.call_s:g} s, and nothing else could run",
                "await what waits, do long computations in a process of their own, or give --timeout more",
            )
            return
        if message is None:
            return
        if isinstance(message, BaseException):
            raise message
        if isinstance(message, Finding):
            yield message
        else:
            place = message


async def _check(
    name: str,
    values: dict[str, object],
    setup: RLSetup,
    bounds: Bounds,
    messages: queue.SimpleQueue[str | Finding | BaseException | None],
) -> None:
    """Put the findings, and before each call where it goes; None at the end, whatever tasks may be left over."""
    from tinkery_rl.check_env.checks import check
    from tinkery_rl.check_env.target import TARGET, Subject, find_class, with_model

    messages.put(f"importing {name}")
    try:
        cls = find_class(name)
    except CheckFailed as failure:
        messages.put(failure.finding)
    else:
        messages.put(Finding(TARGET, "pass", f"{cls.__module__}.{cls.__qualname__}"))
        subject = Subject(cls, with_model(cls, values, setup.model), setup)
        async for finding in check(subject, bounds, messages.put):
            messages.put(finding)
    messages.put(None)
