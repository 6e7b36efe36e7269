"""What `tinkery check-env` finds, for people and for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

Status = Literal["pass", "fail", "warn", "skip"]

COLOURS: dict[Status, str] = {"pass": "green", "fail": "bold red", "warn": "yellow", "skip": "dim"}


IN_TIME = "calls in time"


@dataclass(frozen=True)
class Finding:
    """What one check came to, why, and what to do about it."""

    check: str
    status: Status
    reason: str
    advice: str = ""


class CheckFailed(Exception):
    """A check did not pass; its finding says why."""

    def __init__(self, check: str, reason: str, advice: str) -> None:
        super().__init__(reason)
        self.finding = Finding(check, "fail", reason, advice)

    @property
    def hung(self) -> bool:
        """Whether a call did not come back in time."""
        return self.finding.check == IN_TIME


def print_finding(finding: Finding) -> None:
    """One line, and below it what to do. The status is a word, so nothing is lost without colours."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    style = COLOURS[finding.status]
    indent = " " * 25
    reason = finding.reason.replace("\n", f"\n{indent}")
    console.print(Text.assemble((f"{finding.status:<5}", style), f" {finding.check:<18} ", reason))
    if finding.advice and finding.status in ("fail", "warn"):
        console.print(Text(f"{indent}→ {finding.advice}"))


def summary(findings: Sequence[Finding]) -> str:
    """How many checks came out how."""
    counts = {status: sum(finding.status == status for finding in findings) for status in COLOURS}
    words = {"pass": "passed", "fail": "failed", "warn": "to look at", "skip": "skipped"}
    return ", ".join(f"{count} {words[status]}" for status, count in counts.items() if count) + "."


def as_json(builder: str, findings: Sequence[Finding]) -> str:
    """The same for a machine."""
    record = {
        "builder": builder,
        "passed": not any(finding.status == "fail" for finding in findings),
        "checks": [asdict(finding) for finding in findings],
    }
    return json.dumps(record, indent=2, ensure_ascii=False)
