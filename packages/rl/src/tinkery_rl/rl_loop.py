"""Reinforcement learning through the Tinker API on one page: no trainer, no config, no concurrency of ours.

    uv run tinkery-local serve                                   # in another terminal
    export TINKER_BASE_URL=http://127.0.0.1:8000 TINKER_API_KEY=tml-local
    uv run python -m tinkery_rl.rl_loop

A tiny language model learns to add numbers below 100 by GRPO (arXiv:2402.03300): ask each question several
times, pay 1 for a right answer and 0 for any other, and make the answers that were paid more than their
group's mean more likely. `train-math` does the same with held-out tests, checkpoints and resuming; this is
what remains without them.
"""

import argparse
import random
import statistics
import time
from dataclasses import dataclass

import numpy as np
import tinker
from tinker import types
from tinkery_core.chat import Chat
from tinkery_core.model import ModelConfig
from tinkery_core.plain_service import check_service

TINY = "tinkery/tiny"
MAX_TOKENS = 8


@dataclass(frozen=True)
class Rollout:
    """One answer to one question: what was read, what was written with which log-probabilities, and its reward."""

    prompt: list[int]
    answer: list[int]
    logprobs: list[float]
    reward: float


def main() -> None:
    """Train, printing a line a step."""
    args = parse_args()
    check_service("rl_loop")
    renderer = "deepseek-v3" if args.model == TINY else None
    chat = ModelConfig(name=args.model, renderer=renderer).load_chat()
    service = tinker.ServiceClient()
    trainer = service.create_lora_training_client(args.model, rank=32, seed=args.seed).result()
    for step in range(args.steps):
        started = time.perf_counter()

        # Sample from the policy as it is now.
        sampler = trainer.save_weights_and_get_sampling_client().result()
        groups = sample_groups(sampler, chat, args.groups, args.group_size, seed=args.seed * 1_000_000 + step)

        # An answer counts by how much better it did than the others of its group.
        data: list[types.Datum] = []
        for group in groups:
            rewards = np.array([rollout.reward for rollout in group])
            if rewards.std() == 0:
                continue  # all alike: nothing to prefer
            advantages = (rewards - rewards.mean()) / rewards.std()
            data += [
                make_datum(rollout, float(advantage))
                for rollout, advantage in zip(group, advantages, strict=True)
            ]

        # Both calls are on their way before either is waited for, so that the service never idles between them.
        if data:
            gradient = trainer.forward_backward(data, "importance_sampling")
            learning_rate = args.learning_rate * (1 - step / args.steps)
            update = trainer.optim_step(types.AdamParams(learning_rate=learning_rate))
            gradient.result()
            update.result()

        reward = statistics.mean(rollout.reward for group in groups for rollout in group)
        seconds = time.perf_counter() - started
        print(f"step {step:3d}  reward {reward:.3f}  datums {len(data):4d}  {seconds:.2f} s", flush=True)
    service.close("success").result()


def sample_groups(
    sampler: tinker.SamplingClient, chat: Chat, num_groups: int, group_size: int, seed: int
) -> list[list[Rollout]]:
    """Ask `num_groups` questions `group_size` times each, all at once. Equal seeds give equal rollouts."""
    dice = random.Random(seed)
    problems = [(dice.randrange(100), dice.randrange(100)) for _ in range(num_groups)]
    prompts = [chat.render_prompt([{"role": "user", "content": f"What is {a} + {b}?"}]) for a, b in problems]
    futures = [
        sampler.sample(
            types.ModelInput.from_ints(prompt),
            num_samples=group_size,
            sampling_params=types.SamplingParams(
                max_tokens=MAX_TOKENS, temperature=1.0, stop=chat.stop_tokens, seed=dice.getrandbits(31)
            ),
        )
        for prompt in prompts
    ]
    groups: list[list[Rollout]] = []
    for (a, b), prompt, future in zip(problems, prompts, futures, strict=True):
        group: list[Rollout] = []
        for sequence in future.result().sequences:
            right = sequence.stop_reason == "stop" and chat.parse(sequence.tokens) == str(a + b)
            group.append(Rollout(prompt, sequence.tokens, sequence.logprobs or [], float(right)))
        groups.append(group)
    return groups


def make_datum(rollout: Rollout, advantage: float) -> types.Datum:
    """Position `t` predicts token `t + 1`; only positions that predict a token of the answer have an advantage.

    The advantage is shared among the answer's tokens, so that a long answer pulls no harder than a short one.
    """
    tokens = rollout.prompt + rollout.answer
    num_observed = len(rollout.prompt) - 1
    share = advantage / len(rollout.answer)
    inputs = {
        "target_tokens": np.array(tokens[1:], np.int64),
        "logprobs": np.array([0.0] * num_observed + rollout.logprobs, np.float32),
        "advantages": np.array([0.0] * num_observed + [share] * len(rollout.answer), np.float32),
    }
    return types.Datum(
        model_input=types.ModelInput.from_ints(tokens[:-1]),
        loss_fn_inputs={name: types.TensorData.from_numpy(array) for name, array in inputs.items()},
    )


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tinkery_rl.rl_loop",
        description="Teach a language model to add, by GRPO, through the plain tinker SDK.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--steps", type=int, default=15, help="training steps")
    parser.add_argument("--groups", type=int, default=16, help="questions of a step")
    parser.add_argument("--group-size", type=int, default=16, help="answers to each question")
    parser.add_argument(
        "--learning-rate", type=float, default=2e-3, help="of Adam at the first step; falls to 0"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the problems, the adapter and the sampling")
    parser.add_argument("--model", default=TINY, help="base model, by the service's name")
    return parser.parse_args()


if __name__ == "__main__":
    main()
