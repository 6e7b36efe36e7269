"""`train-sft`: supervised training on conversations."""

from tinkery_core.launch import launch
from tinkery_core.run import Run

from tinkery_supervised.config import SupervisedConfig


@launch("tinkery_supervised.conf", "train_sft")
async def train_sft(config: SupervisedConfig, run: Run) -> None:
    """Train a model on conversations: it learns what the assistant says in them."""
    from tinkery_supervised.train import train

    await train(config, run)
