"""The bridge from Hydra's plain YAML to chz config objects."""
