"""What the supervised trainer costs: beside the engine alone, and of the time of a service that takes a while.

    uv run python benchmarks/supervised.py                 # about three minutes on two cores
    uv run python benchmarks/supervised.py --only idle

`tokens`: tokens a second of `train-sft` on the bundled conversations, through SDK, HTTP and protobuf, beside the same
batches given to the engine in this process. Both take turns, so that they see the same machine; the first steps, in
which programs compile, are left out. `idle`: the share of time that a service has nothing to do, with a stand-in
(`stand_in.py`) that takes the same time for each step, whatever is in it; and how long steps waited for their data.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
from pace import Pace, busy_seconds
from rl_trainer import Seen, stand_in
from tinkery_core.config.compose import compose
from tinkery_core.config.loader import make_loader
from tinkery_core.config.resolve import resolve
from tinkery_core.console import RunConsole
from tinkery_core.run import open_run
from tinkery_local.engine import AdamParams, Datum, Engine, LoraSpec
from tinkery_local.tiny import folder
from tinkery_supervised.config import SupervisedConfig
from tinkery_supervised.train import train

WARM_UP = 10
STEP_S = (0.02, 0.1, 0.5)
"""What a step of the stand-in takes."""
SUBMIT_AHEAD = (0, 1, 2)


def configured(*overrides: str) -> SupervisedConfig:
    loader = make_loader("tinkery_supervised.conf", None)
    usual = ["epochs=100", "eval_every=0", "save_every=0", "num_answers=0", "dataset.num_test=0"]
    return resolve(SupervisedConfig, compose(loader, "train_sft", "train-sft", [*usual, *overrides]))


def lines_of(*overrides: str) -> list[dict[str, float]]:
    """The lines of metrics.jsonl of a run after its first few steps, without that of the final weights."""
    with tempfile.TemporaryDirectory() as run_dir:
        config = configured(*overrides, f"run_dir={run_dir}/run")
        with (
            (Path(run_dir) / "out").open("w") as out,
            redirect_stdout(out),
            open_run(config, RunConsole(plain=True)) as run,
        ):
            asyncio.run(train(config, run))
        text = (Path(run_dir) / "run" / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()][WARM_UP:-1]


def trainer_tokens(batch_size: int, steps: int) -> float:
    """Tokens a second of `train-sft` with its server."""
    lines = lines_of(f"batch_size={batch_size}", f"max_steps={WARM_UP + steps}")
    return sum(line["data/num_tokens"] for line in lines) / sum(line["time/total"] for line in lines)


def engine_tokens(batch_size: int, steps: int) -> float:
    """Tokens a second of the engine alone, on the same batches."""
    config = configured(f"batch_size={batch_size}")
    dataset = config.dataset(config.setup).train
    engine = Engine(folder())
    adapter = engine.create_adapter(LoraSpec(rank=config.model.lora_rank))
    num_tokens, started = 0, 0.0
    for step in range(WARM_UP + steps):
        if step == WARM_UP:
            num_tokens, started = 0, time.perf_counter()
        examples = dataset.get_batch(step).examples_D
        data = [
            Datum(
                np.array(example.tokens_T[:-1], np.int32),
                {"target_tokens": np.array(example.tokens_T[1:]), "weights": example.weights_T[1:]},
            )
            for example in examples
        ]
        engine.forward_backward(adapter, data, "cross_entropy", {})
        engine.optim_step(adapter, AdamParams(learning_rate=config.learning_rate))
        num_tokens += sum(len(example.tokens_T) for example in examples)
    return num_tokens / (time.perf_counter() - started)


def measure_idle(step_s: float, submit_ahead: int, steps: int) -> tuple[float, float]:
    """The shares of time in which the service waits for the trainer, and a step for its data."""
    seen: list[Seen] = []
    with stand_in(Pace(optim_s=step_s), seen) as url:
        lines = lines_of(
            f"backend.base_url={url}", f"submit_ahead={submit_ahead}", f"max_steps={WARM_UP + steps}"
        )
    jobs = [interval for interval in seen[0].trainer if interval[1] > interval[0]]
    begin, end = jobs[WARM_UP][0], jobs[-1][1]
    idle = 1 - busy_seconds(jobs, begin, end) / (end - begin)
    waited = sum(line["time/waiting_for_data"] for line in lines) / sum(line["time/total"] for line in lines)
    return idle, waited


def main() -> None:
    parser = argparse.ArgumentParser(description="What the supervised trainer costs.")
    parser.add_argument("--only", choices=["tokens", "idle"], nargs="+", default=["tokens", "idle"])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    parts: list[str] = options.only
    os.environ["TINKER_TELEMETRY"] = "0"
    print("uv run python", *sys.argv)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.2f} at the start")
    if "tokens" in parts:
        print("\nrows a step   train-sft tokens/s   engine alone   share")
        for batch_size in (32, 128):
            rounds = [
                (trainer_tokens(batch_size, options.steps), engine_tokens(batch_size, options.steps))
                for _ in range(options.rounds)
            ]
            trainer, engine = (statistics.median(column) for column in zip(*rounds, strict=True))
            share = statistics.median(ours / theirs for ours, theirs in rounds)
            print(f"{batch_size:11} {trainer:20,.0f} {engine:14,.0f} {share:7.0%}")
    if "idle" in parts:
        print("\nstep of the service   submit_ahead   service idle   waiting for data")
        for step_s in STEP_S:
            for submit_ahead in SUBMIT_AHEAD:
                idle, waited = measure_idle(step_s, submit_ahead, options.steps)
                print(f"{step_s:17.2f} s {submit_ahead:14} {idle:14.1%} {waited:18.1%}")
    print(f"\nload {os.getloadavg()[0]:.2f} at the end")


if __name__ == "__main__":
    main()
