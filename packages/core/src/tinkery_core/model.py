"""Which model is trained, and how its chats are rendered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import chz

from tinkery_core.config.checks import at_least

if TYPE_CHECKING:
    from tinkery_core.chat import Chat


@chz.chz
class ModelConfig:
    """The base model and its LoRA adapter. One YAML a model in the config group `model`."""

    name: str = chz.field(doc="model name at the service, e.g. tinkery/tiny or Qwen/Qwen3-8B")
    lora_rank: int = chz.field(
        default=32, validator=at_least(1), doc="rank of the LoRA adapter that is trained"
    )
    start_from: str | None = chz.field(
        default=None,
        doc="weights that the run starts with: the folder of a run, whose last checkpoint counts, or the path of a "
        "training state, tinker://…/weights/…; null is a fresh adapter",
    )
    renderer: str | None = chz.field(
        default=None,
        doc="chat format of the `renderers` package, e.g. qwen3; null finds it by the model's name",
    )

    def load_chat(self) -> Chat:
        """Tokenizer and renderer, loaded once per process.

        Raises UserError if the tokenizer is neither bundled, nor a folder, nor found in the hub, or if `renderer`
        names no chat format.
        """
        from tinkery_core.chat import load_chat

        return load_chat(self.name, self.renderer)
