"""What `dry_run=true` shows of a supervised run: its first batch, without any service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinkery_core.plan import print_plan

if TYPE_CHECKING:
    from tinkery_supervised.config import SupervisedConfig
    from tinkery_supervised.types import SupervisedDatasets

NUM_SAMPLES = 3


def print_supervised_plan(config: SupervisedConfig, datasets: SupervisedDatasets, num_steps: int) -> None:
    """Print how many steps and tokens the run has, and its first examples as the model will read them."""
    batch = datasets.train.get_batch(0)
    counts = batch.metrics()
    test = datasets.test
    num_test = 0 if test is None else sum(len(test.get_batch(i).examples_D) for i in range(len(test)))
    rows = {
        "steps": num_steps,
        "examples of the first step": len(batch.examples_D),
        "tokens": f"{counts['data/num_tokens']:.0f}",
        "of which learned": f"{counts['data/num_targets']:.0f}",
        "examples cut to max_length": f"{counts['data/num_cut_examples']:.0f}",
        "rows left out": f"{counts['data/num_bad_rows'] + counts['data/num_idle_rows']:.0f}",
        "held-out examples": num_test,
    }
    chat = config.model.load_chat()
    samples = [chat.decode(example.tokens_T) for example in batch.examples_D[:NUM_SAMPLES]]
    print_plan("supervised training", rows, samples)
