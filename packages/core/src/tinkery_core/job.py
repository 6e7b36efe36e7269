"""One run of a script, from composed config to exit status."""

from __future__ import annotations

import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from tinkery_core.config.compose import Composed, resolve_interpolations
from tinkery_core.config.hydra_errors import as_user_errors
from tinkery_core.config.loader import make_loader, typed_overrides
from tinkery_core.config.resolve import resolve
from tinkery_core.console import RunConsole
from tinkery_core.errors import UserError
from tinkery_core.event_loop import run_to_end
from tinkery_core.failure import describe_failure
from tinkery_core.folder import LOG
from tinkery_core.invocation import Invocation
from tinkery_core.run import Run, folder_of, open_run

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from tinkery_core.launch import Script
    from tinkery_core.script import ScriptConfig

USAGE = 2
FAILED = 1


@dataclass(frozen=True)
class Job:
    """What Hydra calls for each run, in this process or in a worker of a parallel launcher.

    Returns the exit status: an exception would make Hydra print it, and end a sweep at its first failure.
    """

    script: Script
    invocation: Invocation

    def __call__(self, composed: DictConfig) -> int:
        hydra = HydraConfig.get()
        in_sweep = hydra.mode == RunMode.MULTIRUN
        parallel = in_sweep and hydra.runtime.choices["hydra/launcher"] != "basic"
        name = str(hydra.sweep.subdir) if in_sweep else ""
        console = RunConsole(plain=parallel, prefix=f"[{name}] " if parallel else "")
        typed = typed_overrides(hydra)
        assert hydra.job.config_name is not None
        try:
            with as_user_errors():
                loader = make_loader(self.script.conf, self.invocation.config_dir)
                layered = resolve_interpolations(
                    composed, loader.layers(hydra.job.config_name, [*typed.hydra, *typed.task])
                )
            if in_sweep:
                layered.values["run_dir"] = str(Path(layered.values["run_dir"]) / name)
            config = resolve(self.script.config_class, layered)
            return self.run(config, layered, console, typed.task)
        except UserError as error:
            console.error(str(error))
            return USAGE

    def run(self, config: ScriptConfig, composed: Composed, console: RunConsole, overrides: list[str]) -> int:
        """Open the run folder and run the script in it; if it fails, say why and how to resume."""
        resume = self.invocation.resume_command(overrides, config.run_dir)
        try:
            with open_run(config, console, composed.yaml) as run:
                self.attempt(config, run, console, resume)
            return 0
        except KeyboardInterrupt:
            console.error(f"Interrupted. What was saved is complete. To resume:\n  {resume}")
            raise
        except Exception as error:
            failure = describe_failure(error)
            if failure.is_usage:
                raise UserError(failure.text) from error
            log = folder_of(config) / LOG
            trace = f"The traceback is in {log}. " if log.exists() else ""
            console.error(f"{failure.text}\n{trace}To resume:\n  {resume}")
            return FAILED

    def attempt(self, config: ScriptConfig, run: Run, console: RunConsole, resume: str) -> None:
        """Run the script in an open folder, and say at the end how it went."""
        started = time.monotonic()
        where = "dry run" if run.dry_run else str(run.dir)
        model = f"{config.model.name} (LoRA rank {config.model.lora_rank})"
        console.print(f"{self.script.name} · {model} · {config.backend.describe()} · {where}", style="bold")
        if run.resume is not None:
            console.print(f"Resuming after {run.resume.step} steps ({run.resume.kind} checkpoint)")
        if run.start is not None:
            console.print(f"Starting with the weights of {run.start.typed}")
        try:
            if not run.dry_run and (run.resume is None or run.resume.kind != "final"):
                run.start_service()
            run_to_end(self.script.run(config, run))
        except Exception as error:
            with suppress(OSError):  # the disk may be what failed
                run.log("".join(traceback.format_exception(error)))
            raise
        console.end_progress()
        if not run.dry_run:
            seconds = time.monotonic() - started
            numbers = console.summary()
            console.print(f"Done in {seconds:.1f} s{': ' if numbers else ''}{numbers}", style="bold green")
            console.print(f"Run folder: {run.dir}\nTo resume or repeat:\n  {resume}")
