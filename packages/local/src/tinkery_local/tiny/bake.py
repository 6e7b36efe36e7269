"""`tinkery-local bake-tiny`: makes the tiny model again, or measures one that is made.

Everything follows from the recipe and its seed: two bakes on one machine give the same files, and the tokenizer
is the same on every machine.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.random import Generator
from tokenizers import Tokenizer

from tinkery_local.engine import EngineError, keep_compiled_programs
from tinkery_local.engine.spec import ModelSpec
from tinkery_local.engine.weights import Weights, init_weights, save_folder
from tinkery_local.tiny import folder as shipped_folder
from tinkery_local.tiny.batches import Batch, batches
from tinkery_local.tiny.chat_format import EOS, encode_chat
from tinkery_local.tiny.corpus import TASKS
from tinkery_local.tiny.corpus.mixture import conversations
from tinkery_local.tiny.evaluate import evaluate, table
from tinkery_local.tiny.pretrain import Schedule, pretrain
from tinkery_local.tiny.tokenizer import VOCAB_SIZE, save_tokenizer, train_tokenizer

SPEC = ModelSpec(
    model_type="qwen3",
    vocab_size=VOCAB_SIZE,
    hidden_size=96,
    intermediate_size=256,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=4,
    head_dim=24,
    max_position_embeddings=512,
    tie_word_embeddings=True,
)


@dataclass(frozen=True)
class Recipe:
    """All that the model's files depend on."""

    spec: ModelSpec
    seed: int
    tokenizer_conversations: int
    clean: Schedule
    mixed: Schedule


RECIPE = Recipe(
    spec=SPEC,
    seed=0,
    tokenizer_conversations=20_000,
    clean=Schedule(steps=1600, peak_rate=3e-3),
    mixed=Schedule(steps=400, peak_rate=1e-3, warmup_steps=20),
)


def bake(recipe: Recipe, out: Path) -> None:
    """Trains tokenizer and model and writes the model folder, after the clean phase and again after the mixed one."""
    out.mkdir(parents=True, exist_ok=True)
    tokenizer_rng, clean_rng, mixed_rng = np.random.default_rng(recipe.seed).spawn(3)
    tokenizer = train_tokenizer(tokenizer_texts(tokenizer_rng, recipe.tokenizer_conversations))
    save_tokenizer(tokenizer, out, recipe.spec.max_position_embeddings)
    spec = replace(recipe.spec, eos_token_ids=(tokenizer.token_to_id(EOS),))
    weights = init_weights(spec, recipe.seed)
    for name, schedule, rng in (("clean", recipe.clean, clean_rng), ("mixed", recipe.mixed, mixed_rng)):
        weights = run_phase(name, spec, weights, stream(tokenizer, rng, name == "mixed"), schedule)
        save_model(out, spec, weights)


def tokenizer_texts(rng: Generator, count: int) -> Iterator[str]:
    """The messages of so many conversations of mixed quality, which hold every word of the corpus."""
    for conversation in islice(conversations(rng, TASKS, mixed_quality=True), count):
        for message in conversation:
            yield message["content"]


def stream(tokenizer: Tokenizer, rng: Generator, mixed_quality: bool) -> Iterator[Batch]:
    """Batches of the corpus without end."""
    return batches(
        encode_chat(tokenizer, chat) for chat in conversations(rng, TASKS, mixed_quality=mixed_quality)
    )


def run_phase(
    name: str, spec: ModelSpec, weights: Weights, chats: Iterator[Batch], schedule: Schedule
) -> Weights:
    """One phase of pre-training, its progress printed."""
    started = time.monotonic()

    def report(step: int, loss: float) -> None:
        print(
            f"{name:>5} {step:>5}/{schedule.steps}  nll {loss:.4f}  {time.monotonic() - started:4.0f} s",
            flush=True,
        )

    return pretrain(spec, weights, chats, schedule, report)


def save_model(out: Path, spec: ModelSpec, weights: Weights) -> None:
    """Writes configuration and weights beside the tokenizer."""
    save_folder(out, spec, weights)
    generation = {"eos_token_id": list(spec.eos_token_ids), "do_sample": True, "temperature": 1.0}
    (out / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status, 2 after a message when a folder is no model or cannot be written."""
    parser = argparse.ArgumentParser(prog="tinkery-local bake-tiny", description=__doc__)
    action = parser.add_mutually_exclusive_group()
    action.add_argument(
        "--out", type=Path, metavar="DIR", default=Path("tiny-model"), help="where to write it (%(default)s)"
    )
    action.add_argument(
        "--evaluate",
        type=Path,
        metavar="DIR",
        nargs="?",
        const=shipped_folder(),
        help="measure a model instead of making one; without DIR the shipped one",
    )
    arguments = parser.parse_args(argv)
    keep_compiled_programs()
    try:
        if arguments.evaluate is None:
            bake(RECIPE, arguments.out)
        print(table(evaluate(arguments.evaluate or arguments.out)))
    except (EngineError, OSError) as error:
        print(f"tinkery-local bake-tiny: {error}", file=sys.stderr)
        return 2
    return 0
