"""Multirun: one run for each combination of swept values, each in a folder of its own."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.types import RunMode

from tinkery_core.invocation import quoted

if TYPE_CHECKING:
    from hydra._internal.hydra import Hydra

    from tinkery_core.job import Job

CORES_A_RUN = 2
"""The client and its embedded server keep a core busy each."""


def sweep(hydra: Hydra, config_name: str, job: Job, overrides: list[str]) -> int:
    """Run them all, also after one has failed; the worst exit status. Raises Hydra's errors of composition."""
    config = hydra.compose_config(config_name, overrides, RunMode.MULTIRUN)
    HydraConfig.instance().set_config(config)
    run_dir = str(config.run_dir)  # resolved once, so that the time in it is the same for all jobs
    extra = ["hydra.mode=MULTIRUN", f"run_dir={quoted(run_dir)}"]
    if config.hydra.launcher.get("n_jobs") == -1:
        extra.append(f"hydra.launcher.n_jobs={max(1, (os.cpu_count() or 1) // CORES_A_RUN)}")
    with _sweep_dir(run_dir, dry_run=bool(config.get("dry_run"))) as sweep_dir:
        extra.append(f"hydra.sweep.dir={quoted(sweep_dir)}")
        try:
            batches: list[Sequence[JobReturn]] = hydra.multirun(
                config_name, job, [*extra, *overrides], with_log_configuration=False
            )
        except KeyboardInterrupt:
            again = job.invocation.resume_command(["-m", *overrides], run_dir)
            print(f"The sweep was interrupted. To resume all of it:\n  {again}", file=sys.stderr)
            raise
    return _summarize(run_dir, [job_return for batch in batches for job_return in batch])


@contextmanager
def _sweep_dir(run_dir: str, *, dry_run: bool) -> Generator[str]:
    """Where Hydra writes its multirun.yaml; a dry run leaves no folder behind."""
    if not dry_run:
        yield run_dir
        return
    with tempfile.TemporaryDirectory() as folder:
        yield folder


def _summarize(run_dir: str, job_returns: list[JobReturn]) -> int:
    failed = [job_return for job_return in job_returns if job_return.return_value != 0]
    print(f"{len(job_returns) - len(failed)} of {len(job_returns)} runs succeeded")
    for job_return in failed:
        assert job_return.hydra_cfg is not None
        print(f"  failed: {run_dir}/{job_return.hydra_cfg.hydra.sweep.subdir}")
    return max((job_return.return_value for job_return in job_returns), default=0)
