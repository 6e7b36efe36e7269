"""Tokenizers by model name: bundled with an installed package, a folder on disk, or from the hub."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from tinkery_core.errors import UserError
from tinkery_core.hub import cache_only_if_unreachable

if TYPE_CHECKING:
    import renderers
    import tokenizers

BUNDLED_PREFIX = "tinkery/"


class Encoding(TypedDict):
    """Token ids, and for each the half-open span of characters that it stands for."""

    input_ids: list[int]
    offset_mapping: list[tuple[int, int]]


class FolderTokenizer:
    """The tokenizer of a model folder, read from its tokenizer.json alone.

    Satisfies `renderers.OffsetTokenizer`. A folder needs none of what `transformers` adds, and importing that takes
    a second of each run's start.
    """

    def __init__(self, folder: Path, name: str) -> None:
        import tokenizers

        self.name_or_path = name
        self._tokenizer: tokenizers.Tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.unk_token_id: int | None = None
        eos_token = _eos_token(folder)
        self.eos_token_id: int | None = None if eos_token is None else self.convert_tokens_to_ids(eos_token)
        self.model_max_length = _model_max_length(folder)

    def __len__(self) -> int:
        """How many tokens there are."""
        return self._tokenizer.get_vocab_size()

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=add_special_tokens).ids

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool = False) -> str:
        return self._tokenizer.decode(token_ids, skip_special_tokens=skip_special_tokens)

    def convert_tokens_to_ids(self, tokens: str) -> int | None:
        return self._tokenizer.token_to_id(tokens)

    def __call__(
        self, text: str, *, add_special_tokens: bool = True, return_offsets_mapping: bool = True
    ) -> Encoding:
        encoding = self._tokenizer.encode(text, add_special_tokens=add_special_tokens)
        return {"input_ids": encoding.ids, "offset_mapping": encoding.offsets}


def _model_max_length(folder: Path) -> int:
    """How many tokens the model can read; beyond all bounds, as `transformers` has it, where the folder doesn't say."""
    return int(_tokenizer_config(folder).get("model_max_length", 10**30))


def _eos_token(folder: Path) -> str | None:
    eos: str | dict[str, str] | None = _tokenizer_config(folder).get("eos_token")
    return eos["content"] if isinstance(eos, dict) else eos


def _tokenizer_config(folder: Path) -> dict[str, Any]:
    path = folder / "tokenizer_config.json"
    return json.loads(path.read_text()) if path.exists() else {}


def load_tokenizer(model_name: str) -> renderers.Tokenizer:
    """The tokenizer of a model. Raises UserError if there is none by this name."""
    if model_name.startswith(BUNDLED_PREFIX):
        return FolderTokenizer(_bundled_folder(model_name), model_name)
    folder = Path(model_name).expanduser()
    if (folder / "tokenizer.json").exists():
        return FolderTokenizer(folder, model_name)
    return _load_from_hub(model_name)


def _bundled_folder(model_name: str) -> Path:
    models = {entry.name: entry for entry in entry_points(group="tinkery.models")}
    entry = models.get(model_name.removeprefix(BUNDLED_PREFIX))
    if entry is None:
        bundled = ", ".join(BUNDLED_PREFIX + name for name in sorted(models)) or "none"
        raise UserError(
            f"model.name={model_name}: no such bundled model.\n"
            f"Installed ones: {bundled}. "
            "The tiny model comes with the package tinkery-local: uv add tinkery-local"
        )
    folder: Callable[[], Path] = entry.load()
    return folder()


def _load_from_hub(model_name: str) -> renderers.Tokenizer:
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # nobody here needs torch
    from renderers.base import load_tokenizer as load_with_transformers

    with cache_only_if_unreachable() as unreachable:
        try:
            return load_with_transformers(model_name)
        except (OSError, ValueError) as error:
            answer = f"said: {str(error).splitlines()[0]}"
            if unreachable is not None:
                answer = f"cannot be reached ({unreachable}); it is not in this machine's cache either."
            raise UserError(
                f"model.name={model_name}: no tokenizer found.\n"
                f"Expected {BUNDLED_PREFIX}…, a folder with a tokenizer.json, or a model of the Hugging Face hub, "
                f"which {answer}"
            ) from error
