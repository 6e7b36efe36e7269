"""The nouns of supervised training here; read this file first.

Data flows from the bottom of the file to its top. A `SupervisedDatasetBuilder` (configuration) builds
`SupervisedDatasets`, one to train on and one held out; each is a sequence of `Batch`es, which hold `Example`s:
tokens, and how much each of them counts as a target.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import chz

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tinkery_core.model import ModelConfig

    Floats: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class Example:
    """One sequence of tokens to learn from.

    `weights_T` says of each token how much it counts as a target, 0 if it is only read. `num_bytes` is the length in
    UTF-8 of the text that the weighted tokens stand for, special tokens left out; `num_cut` tokens were cut off the
    end, as the sequence was too long.
    """

    tokens_T: list[int]
    weights_T: Floats
    num_bytes: int
    num_cut: int = 0

    @property
    def num_targets(self) -> int:
        """Tokens that count. The first one never does: nothing predicts it."""
        return int((self.weights_T[1:] > 0).sum())


@dataclass(frozen=True)
class BadRow:
    """A row that no example can be made of: where it stands, e.g. `chats.jsonl line 7`, and what is wrong with it."""

    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


Item: TypeAlias = Example | BadRow
"""What becomes of a row."""

OnBadRow: TypeAlias = Literal["fail", "skip"]


@dataclass(frozen=True)
class Batch:
    """The rows of one step: examples with something to learn, and the rows that were left out, with reasons.

    `num_idle` counts the rows left out because none of their tokens is a target, mostly as those were cut off.
    """

    examples_D: Sequence[Example]
    bad_rows: Sequence[BadRow] = ()
    num_idle: int = 0

    def metrics(self) -> dict[str, float]:
        """`data/…`: what the batch holds, and what of it was cut or left out."""
        cuts_D = [example.num_cut for example in self.examples_D]
        counts = {
            "num_examples": len(self.examples_D),
            "num_tokens": sum(len(example.tokens_T) for example in self.examples_D),
            "num_targets": sum(example.num_targets for example in self.examples_D),
            "num_cut_examples": sum(cut > 0 for cut in cuts_D),
            "num_cut_tokens": sum(cuts_D),
            "num_idle_rows": self.num_idle,
            "num_bad_rows": len(self.bad_rows),
        }
        return {f"data/{name}": float(count) for name, count in counts.items()}


class SupervisedDataset(ABC):
    """A sequence of batches. Batch `i` is a pure function of `i`, so that a resumed run sees the same examples."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of batches."""

    @abstractmethod
    def get_batch(self, index: int) -> Batch:
        """Batch `index`, 0 ≤ index < len(self). Raises UserError for a bad row, unless those are to be skipped.

        Tokenises, so it is called in a thread beside the training; never in two threads at once.
        """


@dataclass(frozen=True)
class SupervisedDatasets:
    """Examples to train on and, where there are any, examples held out from training."""

    train: SupervisedDataset
    test: SupervisedDataset | None


@dataclass(frozen=True)
class SupervisedSetup:
    """What a dataset has to know of the run that it is built for; see `SupervisedConfig` for what the fields mean."""

    model: ModelConfig
    batch_size: int
    batch_tokens: int | None
    epochs: int
    max_steps: int | None
    max_length: int | None
    on_bad_row: OnBadRow
    seed: int


@chz.chz
class SupervisedDatasetBuilder(ABC):
    """Configuration of the data: what the `dataset` group of a config holds."""

    @abstractmethod
    def __call__(self, setup: SupervisedSetup) -> SupervisedDatasets:
        """Build the datasets of a run. Raises UserError for data that cannot be found or used."""
