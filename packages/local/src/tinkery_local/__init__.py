"""An embedded Tinker server and its tiny model: train and sample with no key, GPU or network."""
