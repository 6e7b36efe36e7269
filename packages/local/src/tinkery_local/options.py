"""What `tinkery-local serve` was asked to do."""

from dataclasses import dataclass
from pathlib import Path

LOG_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True)
class ServeOptions:
    """The command line of `serve`; no models means the default one."""

    host: str
    port: int
    models: tuple[str, ...]
    store: Path
    also_stores: tuple[Path, ...]
    log_level: str
    announce: bool
    exit_with_stdin: bool
