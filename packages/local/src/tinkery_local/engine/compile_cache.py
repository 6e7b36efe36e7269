"""Compiled programs: kept on disk between processes, and counted."""

from __future__ import annotations

import os
from pathlib import Path

from tinkery_local.engine.typed import configure, on_compile

_durations: list[float] = []


def compilations() -> tuple[int, float]:
    """How many programs this process has compiled or fetched from the cache, and the seconds that took."""
    return len(_durations), sum(_durations)


def keep_compiled_programs() -> Path | None:
    """Turn on JAX's persistent cache in `$XDG_CACHE_HOME/tinkery/xla`; returns it, None if it is not writable."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinkery" / "xla"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    if not os.access(folder, os.W_OK):
        return None
    configure(
        compilation_cache_dir=str(folder),
        persistent_cache_min_compile_time_secs=0.0,
        persistent_cache_min_entry_size_bytes=-1,
    )
    return folder


on_compile(_durations.append)
