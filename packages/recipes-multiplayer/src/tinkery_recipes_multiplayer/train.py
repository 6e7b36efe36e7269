"""`train-multiplayer`: reinforcement learning where answers, or players, meet each other."""

from tinkery_core.launch import launch
from tinkery_core.run import Run
from tinkery_rl.config import RLConfig


@launch("tinkery_recipes_multiplayer.conf", "train_multiplayer")
async def train_multiplayer(config: RLConfig, run: Run) -> None:
    """Train a model by comparison: its answers compete for a judge's preference, or it plays against itself."""
    from tinkery_rl.train import train

    await train(config, run)
