"""What a training step costs through SDK, HTTP and protobuf, beside the same work done by the engine alone.

    uv run python benchmarks/step_cost.py           # about two minutes on two cores

Both sides train the same task from the same model: 16 groups of 16 rollouts, forward and backward with the
importance-sampling loss, Adam, the next snapshot. The direct side calls the engine's functions in this process and
grades by comparing strings; the other is `train-math` with its server. They take turns, so that both see the same
machine. The first steps, in which programs compile, are left out and counted: each compiled program is a file in the
compile cache, which starts empty.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tinkery_core.chat import Chat
from tinkery_core.model import ModelConfig
from tinkery_local.engine import AdamParams, Datum, Engine, LoraSpec, SampleRequest, Snapshot
from tinkery_local.tiny import folder

GROUPS, GROUP_SIZE, LEARNING_RATE, MAX_TOKENS = 16, 16, 2e-3, 16
WARM_UP = 5


@dataclass(frozen=True)
class Rollout:
    """Tokens of prompt and answer, the answer's logprobs and its reward."""

    prompt: list[int]
    answer: list[int]
    logprobs: list[float]
    reward: float


def sample_groups(engine: Engine, snapshot: Snapshot, chat: Chat, step: int) -> list[list[Rollout]]:
    """16 rollouts of each of 16 additions, sampled as one batch."""
    dice = random.Random(step)
    problems = [(dice.randrange(100), dice.randrange(100)) for _ in range(GROUPS)]
    prompts = [chat.render_prompt([{"role": "user", "content": f"What is {a} + {b}?"}]) for a, b in problems]
    tickets = {
        engine.sampler.submit(
            SampleRequest(
                snapshot, np.array(prompt, np.int32), GROUP_SIZE, MAX_TOKENS, seed=step * GROUPS + i
            )
        ): i
        for i, prompt in enumerate(prompts)
    }
    groups: list[list[Rollout]] = [[] for _ in problems]
    while engine.sampler.busy:
        for finished in engine.sampler.step():
            if isinstance(finished.outcome, Exception):
                raise finished.outcome
            problem = tickets[finished.ticket]
            right = str(sum(problems[problem]))
            for sequence in finished.outcome.sequences:
                tokens = sequence.tokens.tolist()
                reward = float(chat.parse(tokens) == right)
                groups[problem].append(Rollout(prompts[problem], tokens, sequence.logprobs.tolist(), reward))
    return groups


def make_data(groups: list[list[Rollout]]) -> list[Datum]:
    """Datums with group-centred advantages; groups without any are left out, as the trainer does."""
    data: list[Datum] = []
    for group in groups:
        mean = sum(rollout.reward for rollout in group) / len(group)
        if all(rollout.reward == mean for rollout in group):
            continue
        for rollout in group:
            tokens = rollout.prompt + rollout.answer
            padding = [0.0] * (len(rollout.prompt) - 1)
            advantages = padding + [rollout.reward - mean] * len(rollout.answer)
            inputs = {
                "target_tokens": np.array(tokens[1:], np.int64),
                "logprobs": np.array(padding + rollout.logprobs, np.float32),
                "advantages": np.array(advantages, np.float32),
            }
            data.append(Datum(np.array(tokens[:-1], np.int32), inputs))
    return data


def direct_steps(num_steps: int) -> list[float]:
    """Seconds of each step of the direct loop, after the first few."""
    engine = Engine(folder())
    chat = ModelConfig(name="tinkery/tiny", renderer="deepseek-v3").load_chat()
    adapter = engine.create_adapter(LoraSpec(rank=32))
    seconds: list[float] = []
    for step in range(num_steps):
        started = time.perf_counter()
        data = make_data(sample_groups(engine, engine.snapshot(adapter), chat, step))
        if data:
            engine.forward_backward(adapter, data, "importance_sampling", {})
            engine.optim_step(adapter, AdamParams(learning_rate=LEARNING_RATE))
        seconds.append(time.perf_counter() - started)
    return seconds[WARM_UP:]


def trainer_steps(num_steps: int, cache: Path) -> list[float]:
    """Seconds of each step of `train-math`, after the first few; says when the last program was compiled."""
    with tempfile.TemporaryDirectory() as run_dir:
        command = ["train-math", "+experiment=grpo_small", f"run_dir={run_dir}", f"max_steps={num_steps}"]
        command += [f"groups_per_batch={GROUPS}", f"group_size={GROUP_SIZE}", f"max_tokens={MAX_TOKENS}"]
        command += [
            f"learning_rate={LEARNING_RATE}",
            "eval_every=0",
            "save_every=0",
            "env.num_test_problems=1",
        ]
        environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
        before = num_programs(cache)
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        metrics = Path(run_dir) / "metrics.jsonl"
        programs_by_step: dict[int, int] = {}
        while process.poll() is None:
            lines = metrics.read_text().count("\n") if metrics.exists() else 0
            programs_by_step[lines] = num_programs(cache)
            time.sleep(0.01)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with status {process.returncode}")
        seconds = [json.loads(line).get("time/total") for line in metrics.read_text().splitlines()]
    steps = [second for second in seconds if second is not None][:num_steps]
    last = min(step for step, programs in programs_by_step.items() if programs == num_programs(cache))
    print(
        f"train-math: {num_programs(cache) - before} programs compiled, the last one before step {last} was logged"
    )
    return steps[WARM_UP:]


def num_programs(cache: Path) -> int:
    """Files in the compile cache: one a program."""
    return sum(1 for _ in cache.rglob("*-cache"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Cost of a training step, through the service and without it."
    )
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    ratios: list[float] = []
    with tempfile.TemporaryDirectory() as cache:
        for _ in range(arguments.rounds):
            service = statistics.median(trainer_steps(arguments.steps, Path(cache)))
            direct = statistics.median(direct_steps(arguments.steps))
            ratios.append(service / direct)
            print(
                f"median step: train-math {service:.3f} s, engine alone {direct:.3f} s, ratio {ratios[-1]:.2f}"
            )
    print(
        f"ratio over {arguments.rounds} rounds: {min(ratios):.2f} / {statistics.median(ratios):.2f} / {max(ratios):.2f}"
    )


if __name__ == "__main__":
    main()
