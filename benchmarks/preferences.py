"""The experiment of docs/preferences.md as whole commands: supervised training, a judge, and both ways on from there.

    uv run python benchmarks/preferences.py            # three seeds, about six minutes on two cores
    uv run python benchmarks/preferences.py --seeds 0  # one seed

Prints, for each stage and seed, the seconds of the command and what came out.
"""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

STAGES = {
    "sft": "train-sft +experiment=manners_small +evaluators=manners run_dir=sft",
    "judge": "train-sft +experiment=judge_small run_dir=judge",
    "rl": "train-multiplayer +experiment=preference_small model.start_from=sft env.judge.path=judge run_dir=rl",
    "rl without penalty": "train-multiplayer +experiment=preference_small model.start_from=sft "
    "env.judge.path=judge algorithm.kl_penalty=null run_dir=unbound",
    "dpo": "train-dpo +experiment=dpo_small +evaluators=manners model.start_from=sft run_dir=dpo",
}

SHOWN = {
    "test/manners/kind": "kind",
    "test/manners/rude": "rude",
    "test/manners/right": "right",
    "test/manners/kind_and_right": "kind and right",
    "test/env/all/win_rate": "win rate by the judge",
    "test/judge/accuracy": "judge's accuracy",
    "test/accuracy": "DPO's accuracy",
}


def run_stage(command: str, seed: int, folder: Path) -> tuple[float, dict[str, float]]:
    """Seconds of the command, and the last line of its metrics."""
    words = [*command.split(), f"seed={seed}"]
    started = time.perf_counter()
    subprocess.run(words, cwd=folder, stdout=subprocess.DEVNULL, check=True)
    seconds = time.perf_counter() - started
    run_dir = next(word.removeprefix("run_dir=") for word in words if word.startswith("run_dir="))
    return seconds, json.loads((folder / run_dir / "metrics.jsonl").read_text().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    seeds: list[int] = parser.parse_args().seeds
    for name, command in STAGES.items():
        print(f"{name}: {command}")
    print("\n| seed | stage | seconds | " + " | ".join(SHOWN.values()) + " |")
    print("|---" * (3 + len(SHOWN)) + "|")
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            for name, command in STAGES.items():
                seconds, last = run_stage(command, seed, Path(folder))
                found = [f"{last[key]:.3f}" if key in last else "" for key in SHOWN]
                print(f"| {seed} | {name} | {seconds:.0f} | " + " | ".join(found) + " |", flush=True)


if __name__ == "__main__":
    main()
