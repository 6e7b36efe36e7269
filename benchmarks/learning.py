"""How well each algorithm and each mode learns: the table and the picture of docs/learning.md.

    uv run --group plots python benchmarks/learning.py                          # all of it, five seeds
    uv run --group plots python benchmarks/learning.py --seeds 0 --only grpo off_policy_3
    uv run --group plots python benchmarks/learning.py --seeds 0 --steps 3 --docs /tmp      # does it work?

Each run is `train-math +experiment=grpo_small` with the overrides below, in a run folder of its own under --runs; all
share one embedded server. Runs that are complete are not repeated, so an interrupted command goes on where it was.
"""

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from learning_report import HELD_OUT, REWARD, Curves, write_report
from tinkery_core.checkpoints import CheckpointLog
from tinkery_core.config.compose import compose
from tinkery_core.config.loader import make_loader
from tinkery_core.config.resolve import resolve
from tinkery_core.console import RunConsole
from tinkery_core.folder import CHECKPOINTS, METRICS
from tinkery_core.jsonl import read_lines
from tinkery_core.run import open_run
from tinkery_rl.config import RLConfig

ALGORITHMS = {
    name: [f"algorithm={name}"]
    for name in ("grpo", "dr_grpo", "rloo", "reinforce", "ppo", "cispo", "gspo", "dro")
}
MODES = {
    "streamed": ["mode=streamed"],
    "off_policy_1": ["mode=off_policy", "mode.max_steps_off_policy=1"],
    "off_policy_3": ["mode=off_policy", "mode.max_steps_off_policy=3"],
}
VARIANTS = ALGORITHMS | MODES
"""Overrides by name. GRPO in its default mode, on-policy, is both an algorithm and a mode of the table."""
COMMON = ["+experiment=grpo_small", "eval_every=5", "save_every=0", "logging.rollouts=false"]
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Job:
    """One run."""

    variant: str
    seed: int
    steps: int
    run_dir: Path

    @property
    def overrides(self) -> list[str]:
        sizes = [f"seed={self.seed}", f"max_steps={self.steps}", f"run_dir={self.run_dir}"]
        return [*COMMON, *VARIANTS[self.variant], *sizes]

    @property
    def is_complete(self) -> bool:
        last = CheckpointLog(self.run_dir / CHECKPOINTS).last()
        return last is not None and last.kind == "final"

    def curves(self) -> Curves:
        """What metrics.jsonl says of the rewards: (step, value), of held-out problems and of the rollouts."""
        lines = list(read_lines(self.run_dir / METRICS))
        held_out, reward = (
            [(int(str(line["step"])), float(str(line[key]))) for line in lines if key in line]
            for key in (HELD_OUT, REWARD)
        )
        return Curves(held_out, reward)


def run_job(job: Job, url: str) -> float:
    """Train, in this process; the seconds it took. What a killed run left is removed first."""
    from tinkery_rl.train import train

    started = time.perf_counter()
    shutil.rmtree(job.run_dir, ignore_errors=True)
    job.run_dir.parent.mkdir(parents=True, exist_ok=True)
    loader = make_loader("tinkery_recipes_math.conf", None)
    overrides = [*job.overrides, f"backend.base_url={url}"]
    config = resolve(RLConfig, compose(loader, "train_math", "train-math", overrides))
    # The console of the run is in its log.txt.
    with (
        Path(os.devnull).open("w") as nowhere,
        redirect_stdout(nowhere),
        open_run(config, RunConsole(plain=True)) as run,
    ):
        asyncio.run(train(config, run))
    return time.perf_counter() - started


@contextmanager
def server(store: Path) -> Generator[str]:
    """One embedded server for all runs; its URL."""
    command = [
        sys.executable,
        "-m",
        "tinkery_local",
        "serve",
        "--port",
        "0",
        "--announce",
        "--exit-with-stdin",
        "--store",
        str(store),
    ]
    store.mkdir(parents=True, exist_ok=True)
    with (
        (store / "server.log").open("w") as log,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log) as process,
    ):
        assert process.stdin is not None and process.stdout is not None
        announced = process.stdout.readline()
        if not announced:
            raise SystemExit(f"the server did not start: see {log.name}")
        try:
            yield json.loads(announced)["url"]
        finally:
            process.stdin.close()


def train_all(jobs: list[Job], num_processes: int, store: Path) -> None:
    """Run what is not complete. The first failure ends the command, once what is running has ended."""
    open_jobs = [job for job in jobs if not job.is_complete]
    print(f"{len(jobs)} runs, {len(jobs) - len(open_jobs)} of them complete already", flush=True)
    if not open_jobs:
        return
    with server(store) as url, ProcessPoolExecutor(num_processes, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(run_job, job, url): job for job in open_jobs}
        try:
            for future in as_completed(futures):
                job, seconds = futures[future], future.result()
                start, *_, end = (value for _, value in job.curves().held_out)
                print(
                    f"{job.variant:12} seed {job.seed}: {start:.3f} -> {end:.3f} in {seconds:.1f} s",
                    flush=True,
                )
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def main() -> None:
    options = parse_options()
    os.environ["TINKER_TELEMETRY"] = "0"
    folder: Path = options.runs / f"{options.steps}_steps"
    variants: list[str] = options.only
    jobs = [
        Job(variant, seed, options.steps, (folder / variant / f"seed_{seed}").absolute())
        for seed in options.seeds
        for variant in variants
    ]
    print("uv run --group plots python", *sys.argv)
    train_all(jobs, options.jobs, folder.absolute() / "store")
    curves: dict[str, dict[int, Curves]] = {variant: {} for variant in variants}
    for job in jobs:
        curves[job.variant][job.seed] = job.curves()
    write_report(curves, [*ALGORITHMS], ["grpo", *MODES], options.docs)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How well each algorithm and each mode learns to add.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--only", nargs="+", choices=[*VARIANTS], default=[*VARIANTS])
    parser.add_argument("--steps", type=int, default=30, help="training steps of each run")
    parser.add_argument("--jobs", type=int, default=2, help="runs at the same time")
    parser.add_argument(
        "--runs", type=Path, default=ROOT / "runs" / "learning", help="where run folders are kept"
    )
    parser.add_argument(
        "--docs", type=Path, default=ROOT / "docs", help="where learning.md, .png and .json are"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
