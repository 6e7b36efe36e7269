"""What a new user waits for: `train-math +experiment=grpo_small`, measured from outside as a whole command.

    uv run python benchmarks/main_job.py            # five seeds, about five minutes on two cores
    uv run python benchmarks/main_job.py --seeds 0  # one seed

Prints the time of `--help`; the time to the first step in metrics.jsonl with an empty and with a warm compile
cache; and for each seed the wall time, the held-out reward at start and end, and the peak memory of
client and server together. At last, whether two runs of one seed wrote the same metrics.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HELD_OUT = "test/env/all/reward/total"
PERIOD_S = 0.02


@dataclass(frozen=True)
class Measured:
    """One run of the command: seconds from its start, MiB, and the lines of metrics.jsonl."""

    first_step_s: float
    total_s: float
    peak_mib: float
    metrics: list[dict[str, float]]

    @property
    def held_out(self) -> list[float]:
        return [line[HELD_OUT] for line in self.metrics if HELD_OUT in line]

    def without_times(self) -> list[dict[str, float]]:
        return [
            {key: value for key, value in line.items() if not key.startswith("time/")}
            for line in self.metrics
        ]


def resident_mib(pid: int) -> float:
    """Resident memory of a process and all of its descendants, in MiB; 0 for those that are gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        threads = [path.name for path in Path(f"/proc/{pid}/task").iterdir() if path.name != str(pid)]
        for thread in threads:
            children += Path(f"/proc/{pid}/task/{thread}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    own = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")), 0)
    return own / 1024 + sum(resident_mib(int(child)) for child in children)


def run_main_job(seed: int, cache: Path) -> Measured:
    """Run the command as a user would, in an empty folder, and watch its metrics file and its memory."""
    with tempfile.TemporaryDirectory() as folder:
        metrics = Path(folder) / "run" / "metrics.jsonl"
        command = ["train-math", "+experiment=grpo_small", f"seed={seed}", f"run_dir={metrics.parent}"]
        started = time.perf_counter()
        environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        first_step_s, peak_mib = 0.0, 0.0
        while process.poll() is None:
            if not first_step_s and metrics.exists() and metrics.stat().st_size:
                first_step_s = time.perf_counter() - started
            peak_mib = max(peak_mib, resident_mib(process.pid))
            time.sleep(PERIOD_S)
        total_s = time.perf_counter() - started
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with status {process.returncode}")
        lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    return Measured(first_step_s, total_s, peak_mib, lines)


def time_help() -> float:
    """Median seconds of `train-math --help` over five runs."""
    seconds: list[float] = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run(["train-math", "--help"], stdout=subprocess.DEVNULL, check=True)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def spread(values: list[float]) -> str:
    return f"{min(values):.2f} / {statistics.median(values):.2f} / {max(values):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument(
        "--record", type=Path, help="write the metrics of all runs here, for plot_main_job.py"
    )
    options = parser.parse_args()
    seeds: list[int] = options.seeds
    cache = Path(tempfile.mkdtemp())
    try:
        print(f"train-math --help                     {time_help():6.2f} s (median of 5)")
        cold = run_main_job(seeds[0], cache)
        print(
            f"first step, empty compile cache       {cold.first_step_s:6.2f} s   whole run {cold.total_s:.1f} s"
        )
        runs = [run_main_job(seed, cache) for seed in seeds]
    finally:
        shutil.rmtree(cache)
    for seed, run in zip(seeds, runs, strict=True):
        print(
            f"seed {seed}: first step {run.first_step_s:5.2f} s   whole run {run.total_s:5.1f} s   "
            f"peak {run.peak_mib:5.0f} MiB   held-out reward {run.held_out[0]:.3f} -> {run.held_out[-1]:.3f}"
        )
    print("min / median / max over seeds")
    print(f"  first step, warm cache   {spread([run.first_step_s for run in runs])} s")
    print(f"  whole run                {spread([run.total_s for run in runs])} s")
    print(f"  held-out reward, start   {spread([run.held_out[0] for run in runs])}")
    print(f"  held-out reward, end     {spread([run.held_out[-1] for run in runs])}")
    if options.record:
        options.record.write_text(json.dumps([run.metrics for run in runs]))
    same = cold.without_times() == runs[0].without_times()
    print(
        f"two runs of seed {seeds[0]} wrote {'the same' if same else 'DIFFERENT'} metrics apart from time/*"
    )


if __name__ == "__main__":
    main()
