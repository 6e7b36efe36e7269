"""Supervised training through the Tinker API on one page: no trainer, no config, no concurrency of ours.

    uv run tinkery-local serve                                   # in another terminal
    export TINKER_BASE_URL=http://127.0.0.1:8000 TINKER_API_KEY=tml-local
    uv run python -m tinkery_supervised.sl_loop

A tiny language model learns to answer as a parrot does: make what the parrot said in the conversations more likely,
token by token. `train-sft` does the same with any data, held-out tests, checkpoints, resuming, and steps that are
submitted before the last one is done; this is what remains without them.
"""

import argparse
import json
import random
import time
from pathlib import Path

import numpy as np
import tinker
from renderers import Message, build_training_sample
from tinker import types
from tinkery_core.chat import Chat
from tinkery_core.model import ModelConfig
from tinkery_core.plain_service import check_service

TINY = "tinkery/tiny"
PARROT = Path(__file__).parent / "parrot" / "conversations.jsonl"
QUESTIONS = ("What is 31 + 26?", "What colour is snow?", "Repeat: owl bee")


def main() -> None:
    """Train, printing a line a step, and what the model says before and after."""
    args = parse_args()
    check_service("sl_loop")
    renderer = "deepseek-v3" if args.model == TINY else None
    chat = ModelConfig(name=args.model, renderer=renderer).load_chat()
    conversations = [json.loads(line)["messages"] for line in args.data.read_text().splitlines()]
    service = tinker.ServiceClient()
    trainer = service.create_lora_training_client(args.model, rank=32, seed=args.seed).result()
    before = answers(trainer, chat)

    dice = random.Random(args.seed)
    for step in range(args.steps):
        started = time.perf_counter()
        batch = dice.sample(conversations, args.batch_size)
        data, num_learned = make_data(batch, chat)

        # Both calls are on their way before either is waited for, so that the service never idles between them.
        gradient = trainer.forward_backward(data, "cross_entropy")
        rate = args.learning_rate * (1 - step / args.steps)
        update = trainer.optim_step(types.AdamParams(learning_rate=rate))
        nll = gradient.result().metrics["loss:sum"]
        update.result()

        seconds = time.perf_counter() - started
        print(f"step {step:3d}  nll {nll:.3f}  tokens learned {num_learned:4d}  {seconds:.2f} s", flush=True)

    for question, old, new in zip(QUESTIONS, before, answers(trainer, chat), strict=True):
        print(f"{question}\n  before  {old}\n  after   {new}")
    service.close("success").result()


def make_data(batch: list[list[Message]], chat: Chat) -> tuple[list[types.Datum], int]:
    """The data of a step, and how many tokens it teaches.

    The service sums the loss over tokens. With weights that add up to 1 it is the mean, and the learning rate means
    the same for long conversations and short ones.
    """
    samples = [
        build_training_sample(
            chat.renderer,
            messages,
            role_to_mask=lambda message: message["role"] == "assistant",
            ensure_final_stop=True,
        )
        for messages in batch
    ]
    num_learned = sum(sum(sample.loss_mask) for sample in samples)
    return [
        make_datum(sample.token_ids, sample.loss_mask, 1 / num_learned) for sample in samples
    ], num_learned


def make_datum(tokens: list[int], learned: list[bool], weight: float) -> types.Datum:
    """Position `t` predicts token `t + 1`; only positions that predict a token of the assistant's have a weight."""
    inputs = {
        "target_tokens": np.array(tokens[1:], np.int64),
        "weights": np.array(learned[1:], np.float32) * np.float32(weight),
    }
    return types.Datum(
        model_input=types.ModelInput.from_ints(tokens[:-1]),
        loss_fn_inputs={name: types.TensorData.from_numpy(array) for name, array in inputs.items()},
    )


def answers(trainer: tinker.TrainingClient, chat: Chat) -> list[str]:
    """The most likely answers to the questions, from the weights as they are now."""
    sampler = trainer.save_weights_and_get_sampling_client().result()
    params = types.SamplingParams(max_tokens=24, temperature=0.0, stop=chat.stop_tokens)
    futures = [
        sampler.sample(
            types.ModelInput.from_ints(chat.render_prompt([{"role": "user", "content": question}])),
            num_samples=1,
            sampling_params=params,
        )
        for question in QUESTIONS
    ]
    return [chat.parse(future.result().sequences[0].tokens) for future in futures]


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tinkery_supervised.sl_loop",
        description="Teach a language model a parrot's manner, through the plain tinker SDK.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--data", type=Path, default=PARROT, help="file of JSON lines with messages")
    parser.add_argument("--steps", type=int, default=60, help="training steps")
    parser.add_argument("--batch-size", type=int, default=32, help="conversations of a step")
    parser.add_argument(
        "--learning-rate", type=float, default=4e-3, help="of Adam at the first step; falls to 0"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the order of the data and of the adapter")
    parser.add_argument("--model", default=TINY, help="base model, by the service's name")
    return parser.parse_args()


if __name__ == "__main__":
    main()
