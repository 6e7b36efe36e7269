"""The keys of `train-dpo`."""

from __future__ import annotations

import chz
from tinkery_core.config.checks import between, more_than

from tinkery_supervised.config import TrainerConfig
from tinkery_supervised.dpo.losses import LossName
from tinkery_supervised.preferences.dataset import PreferencesBuilder


@chz.chz
class DPOConfig(TrainerConfig):
    """Config of direct preference optimisation."""

    preferences: PreferencesBuilder = chz.field(doc="pairs of answers to train on and to test on")
    beta: float = chz.field(
        default=0.1,
        validator=more_than(0),
        doc="how strongly the policy is held to the reference: the reward is beta times the log-ratio of the two",
    )
    loss: LossName = chz.field(
        default="sigmoid", doc="loss of a pair: sigmoid is DPO's; ipo wants a margin of 1/2 and no more"
    )
    label_smoothing: float = chz.field(
        default=0.0,
        validator=between(0, 0.5),
        doc="share of pairs held to be labelled wrongly, with loss=sigmoid",
    )
    reference: str | None = chz.field(
        default=None,
        doc="training state of the frozen reference, tinker://…/weights/…; null is what the run starts with",
    )

    @chz.validate
    def _only_the_sigmoid_is_smoothed(self) -> None:
        if self.label_smoothing and self.loss != "sigmoid":
            raise ValueError(
                f"label_smoothing={self.label_smoothing} has no meaning for loss={self.loss}: "
                "leave it out, or choose loss=sigmoid"
            )

    @chz.validate
    def _the_reference_is_a_training_state(self) -> None:
        if self.reference is not None and "/weights/" not in self.reference:
            raise ValueError(
                f"reference={self.reference} is not the path of a training state: expected "
                "tinker://…/weights/…, such as the state_path in the checkpoints.jsonl of a run"
            )
