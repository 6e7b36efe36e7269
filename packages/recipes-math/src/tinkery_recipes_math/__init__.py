"""Reinforcement learning on problems with checkable answers: `train-math`."""
