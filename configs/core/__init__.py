"""Hydra configs of the package beside this folder (a link to configs/ of the workspace)."""
