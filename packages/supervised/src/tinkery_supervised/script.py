"""`train-sft`: supervised training on conversations; `train-dpo`: training on preferences."""

from tinkery_core.launch import launch
from tinkery_core.run import Run

from tinkery_supervised.config import SupervisedConfig
from tinkery_supervised.dpo.config import DPOConfig


@launch("tinkery_supervised.conf", "train_sft")
async def train_sft(config: SupervisedConfig, run: Run) -> None:
    """Train a model on conversations: it learns what the assistant says in them."""
    from tinkery_supervised.train import train

    await train(config, run)


@launch("tinkery_supervised.conf", "train_dpo")
async def train_dpo(config: DPOConfig, run: Run) -> None:
    """Train a model directly on preferences: of two answers it learns to make the better one more probable."""
    from tinkery_supervised.dpo.train import train

    await train(config, run)
