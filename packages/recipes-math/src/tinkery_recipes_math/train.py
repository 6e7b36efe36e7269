"""`train-math`: reinforcement learning on problems with checkable answers."""

from tinkery_core.launch import launch
from tinkery_core.run import Run
from tinkery_rl.config import RLConfig


@launch("tinkery_recipes_math.conf", "train_math")
async def train_math(config: RLConfig, run: Run) -> None:
    """Train a model on problems whose answers are graded by program."""
    from tinkery_rl.train import train

    await train(config, run)
