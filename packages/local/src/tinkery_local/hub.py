"""Model folders of the Hugging Face hub: from its cache, else downloaded."""

import importlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tinkery_local.errors import UserError

FILES = ("*.json", "*.safetensors")

logger = logging.getLogger(__name__)


class _Download(Protocol):
    """`huggingface_hub.snapshot_download`, whose own types are incomplete."""

    def __call__(self, repo_id: str, *, allow_patterns: Sequence[str], local_files_only: bool) -> str: ...


def fetch(name: str) -> Path:
    """The folder of a hub id. Raises UserError if neither the cache nor the hub has it."""
    download: _Download = importlib.import_module("huggingface_hub").snapshot_download
    try:
        return Path(download(name, allow_patterns=FILES, local_files_only=True))
    except FileNotFoundError:
        logger.info("%s is not in the Hugging Face cache: downloading it", name)
    try:
        return Path(download(name, allow_patterns=FILES, local_files_only=False))
    except Exception as error:
        raise UserError(
            f"--model {name}: it is not in the Hugging Face cache, and the hub did not give it "
            f"({type(error).__name__}); check the name and the connection, or give a folder."
        ) from error
