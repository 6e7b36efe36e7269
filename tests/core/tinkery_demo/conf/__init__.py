"""YAML of the demo script."""
