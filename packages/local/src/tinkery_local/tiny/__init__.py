"""The bundled tiny model `tinkery/tiny`: its files, the corpus it learned from and the script that made it."""

from pathlib import Path


def folder() -> Path:
    """Returns the Hugging Face folder of the shipped model (config, weights, tokenizer)."""
    return Path(__file__).parent / "model"
