"""Supervised datasets and the supervised trainer: `train-sft`."""
