"""What the RL trainer itself costs, and how close its modes come to what their dependencies allow.

    uv run python benchmarks/rl_trainer.py                   # about nine minutes on two cores
    uv run python benchmarks/rl_trainer.py --only modes --steps 8
    uv run python benchmarks/rl_trainer.py --json rl_trainer.json

The real trainer and the unmodified SDK run against a stand-in service in a process of its own (`stand_in.py`), which
computes nothing: an instant one for the trainer's own cost a step, and for its memory over many steps; then one with
fixed latency and rate, where the time between two snapshots stands beside the bound that `bound.py` simulates: a
trainer that costs nothing, with the same service and the same dependencies.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

from bound import ModeShape, simulate
from pace import Interval, Pace, busy_seconds
from probe import MARKS
from tinkery_core.config.compose import compose
from tinkery_core.config.loader import make_loader
from tinkery_core.config.resolve import resolve
from tinkery_core.console import RunConsole
from tinkery_core.run import open_run
from tinkery_rl.config import RLConfig
from tinkery_rl.train import train

INSTANT = Pace()
PACED = Pace(
    min_tokens=16,
    max_tokens=128,
    first_token_s=0.2,
    token_s=1 / 40,
    slots=1024,
    train_token_s=1 / 50_000,
    optim_s=0.1,
    snapshot_s=0.3,
)
MODES: dict[str, tuple[ModeShape, list[str]]] = {
    "on_policy": (ModeShape(), []),
    "streamed, 4 minibatches": (ModeShape(num_minibatches=4), ["mode=streamed", "mode.num_minibatches=4"]),
    "off_policy, K=1": (
        ModeShape(max_steps_off_policy=1),
        ["mode=off_policy", "mode.max_steps_off_policy=1"],
    ),
    "off_policy, K=2": (
        ModeShape(max_steps_off_policy=2),
        ["mode=off_policy", "mode.max_steps_off_policy=2"],
    ),
}
SHAPES = {(16, 16): 100, (64, 16): 40, (64, 4): 60, (1024, 16): 6}
"""Groups and their size, with how many steps are measured."""
WARM_UP = 4
PARTS = ("cost", "memory", "modes")

END_TIMEOUT_S = 60


@dataclass
class Seen:
    """What the stand-in tells when it ends, in seconds since it started. The first snapshot is that before training."""

    requests: dict[str, int]
    sampler: list[Interval]
    trainer: list[Interval]
    snapshots: list[float]


@dataclass(frozen=True)
class Cost:
    """The trainer's own cost at zero latency. Seconds are medians over steps, CPU is the mean over all of them."""

    shape: str
    steps: int
    wall_s_per_step: float
    slowest_s: float
    cpu_s_per_step: float
    cpu_s_per_1000_trajectories: float
    requests_per_step: float


@dataclass(frozen=True)
class Memory:
    """Median resident memory over quarters of a long run, in MiB."""

    shape: str
    steps: int
    second_quarter_mib: float
    last_quarter_mib: float


@dataclass(frozen=True)
class ModeTime:
    """Seconds between two snapshots beside the bound, and the shares of time in which the service waited."""

    mode: str
    steps: int
    s_per_step: float
    bound_s_per_step: float
    above_bound: float
    idle: float
    idle_bound: float
    sampler_idle: float
    sampler_idle_bound: float
    trainer_idle: float
    trainer_idle_bound: float


@contextmanager
def stand_in(pace: Pace, seen: list[Seen]) -> Generator[str]:
    """A stand-in at some URL; what it saw is appended to `seen` when it has ended."""
    command = [sys.executable, str(Path(__file__).with_name("stand_in.py")), json.dumps(asdict(pace))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"]
            process.stdin.close()
            seen.append(Seen(**json.loads(process.stdout.read())))
        finally:
            process.terminate()
            process.wait(END_TIMEOUT_S)


def run_trainer(pace: Pace, groups: int, group_size: int, steps: int, overrides: list[str]) -> Seen:
    """Train on the probe as `train-math` would; MARKS then holds one mark a step."""
    MARKS.clear()
    seen: list[Seen] = []
    overrides = [f"groups_per_batch={groups}", f"group_size={group_size}", f"max_steps={steps}", *overrides]
    overrides += [
        f"max_tokens={pace.max_tokens}",
        "eval_every=0",
        "save_every=0",
        "env._target_=probe.ProbeBuilder",
    ]
    with (
        stand_in(pace, seen) as url,
        tempfile.TemporaryDirectory() as folder,
        (Path(folder) / "out").open("w") as out,
    ):
        overrides += [f"run_dir={folder}/run", f"backend.base_url={url}"]
        loader = make_loader("tinkery_recipes_math.conf", None)
        config = resolve(RLConfig, compose(loader, "train_math", "train-math", overrides))
        with redirect_stdout(out), open_run(config, RunConsole(plain=True)) as run:
            asyncio.run(train(config, run))
    return seen[0]


def measure_cost(groups: int, group_size: int, steps: int) -> Cost:
    seen = run_trainer(INSTANT, groups, group_size, WARM_UP + steps + 1, [])
    marks = MARKS[WARM_UP:]
    walls = [after.wall_s - before.wall_s for before, after in pairwise(marks)]
    cpu_s = (marks[-1].cpu_s - marks[0].cpu_s) / steps
    frequent = ("asample", "retrieve_future", "forward_backward", "optim_step", "save_weights_for_sampler")
    return Cost(
        shape=f"{groups}×{group_size}",
        steps=steps,
        wall_s_per_step=statistics.median(walls),
        slowest_s=max(walls),
        cpu_s_per_step=cpu_s,
        cpu_s_per_1000_trajectories=1000 * cpu_s / (groups * group_size),
        requests_per_step=sum(seen.requests.get(name, 0) for name in frequent) / len(MARKS),
    )


def measure_memory(groups: int, group_size: int, steps: int) -> Memory:
    run_trainer(INSTANT, groups, group_size, steps, [])
    resident = [mark.resident_mib for mark in MARKS]
    quarter = steps // 4
    second, last = resident[quarter : 2 * quarter], resident[-quarter:]
    return Memory(f"{groups}×{group_size}", steps, statistics.median(second), statistics.median(last))


def measure_mode(name: str, groups: int, group_size: int, steps: int) -> ModeTime:
    """Between the snapshot after the first few steps and the last one, in the run and in the bound."""
    shape, overrides = MODES[name]
    seen = run_trainer(PACED, groups, group_size, WARM_UP + steps, overrides)
    bound = simulate(PACED, shape, groups, group_size, WARM_UP + steps)
    begin, end = seen.snapshots[WARM_UP], seen.snapshots[WARM_UP + steps]
    bound_begin, bound_end = bound.snapshots[WARM_UP], bound.snapshots[WARM_UP + steps]

    def idle(intervals: list[Interval]) -> float:
        return 1 - busy_seconds(intervals, begin, end) / (end - begin)

    def idle_bound(intervals: list[Interval]) -> float:
        return 1 - busy_seconds(intervals, bound_begin, bound_end) / (bound_end - bound_begin)

    return ModeTime(
        mode=name,
        steps=steps,
        s_per_step=(end - begin) / steps,
        bound_s_per_step=(bound_end - bound_begin) / steps,
        above_bound=(end - begin) / (bound_end - bound_begin) - 1,
        idle=idle(seen.sampler + seen.trainer),
        idle_bound=idle_bound(bound.sampler + bound.trainer),
        sampler_idle=idle(seen.sampler),
        sampler_idle_bound=idle_bound(bound.sampler),
        trainer_idle=idle(seen.trainer),
        trainer_idle_bound=idle_bound(bound.trainer),
    )


def main() -> None:
    options = parse_options()
    parts: list[str] = options.only
    os.environ["TINKER_TELEMETRY"] = "0"
    print("uv run python", *sys.argv)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.2f} at the start")
    results: dict[str, list[dict[str, object]]] = {part: [] for part in PARTS}
    if "cost" in parts:
        print("\nown cost at zero latency, completions of 8 tokens")
        print(
            "groups × size     s a step   slowest   CPU s a step   CPU s/1,000 trajectories   requests a step"
        )
        for (groups, group_size), steps in SHAPES.items():
            cost = measure_cost(groups, group_size, max(2, round(steps * options.scale)))
            results["cost"].append(asdict(cost))
            print(
                f"{cost.shape:>13} {cost.wall_s_per_step:12.3f} {cost.slowest_s:9.3f} {cost.cpu_s_per_step:14.3f} "
                f"{cost.cpu_s_per_1000_trajectories:26.3f} {cost.requests_per_step:17.1f}"
            )
    if "memory" in parts:
        memory = measure_memory(16, 16, options.memory_steps)
        results["memory"].append(asdict(memory))
        print(
            f"\nresident memory over {memory.steps} steps of {memory.shape}: second quarter "
            f"{memory.second_quarter_mib:.1f} MiB, last quarter {memory.last_quarter_mib:.1f} MiB"
        )
    if "modes" in parts:
        groups, group_size = 64, 16
        print(f"\n{groups}×{group_size} at fixed latency and rate: {PACED}")
        print("shares of time in which the service waits: measured (bound)")
        print(
            "mode                       s a step   bound   above   all idle        sampler idle    trainer idle"
        )
        for name in MODES:
            time = measure_mode(name, groups, group_size, options.steps)
            results["modes"].append(asdict(time))
            print(
                f"{name:24} {time.s_per_step:10.3f} {time.bound_s_per_step:7.3f} {time.above_bound:7.1%}   "
                f"{time.idle:5.1%} ({time.idle_bound:5.1%})   {time.sampler_idle:5.1%} ({time.sampler_idle_bound:5.1%})"
                f"   {time.trainer_idle:5.1%} ({time.trainer_idle_bound:5.1%})"
            )
    print(f"\nload {os.getloadavg()[0]:.2f} at the end")
    if options.json is not None:
        options.json.write_text(json.dumps({"command": sys.argv, **results}, indent=1) + "\n")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="The RL trainer's own cost, and how close it comes to the bound."
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts to measure")
    parser.add_argument("--steps", type=int, default=15, help="measured steps of each mode")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the steps at zero latency")
    parser.add_argument("--memory-steps", type=int, default=1000)
    parser.add_argument("--json", type=Path, help="write the results here too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
