"""Direct preference optimisation: `train-dpo`."""
