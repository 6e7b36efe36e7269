"""What a call of the demo script comes to."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass

NO_SERVER = "backend.base_url=http://127.0.0.1:9"
"""Nothing is started, and nothing listens there: for runs that never connect."""


@dataclass(frozen=True)
class Ended:
    """Exit status and what was printed."""

    status: int
    out: str
    err: str


Call = Callable[..., Ended]
Spawn = Callable[..., "subprocess.Popen[str]"]
