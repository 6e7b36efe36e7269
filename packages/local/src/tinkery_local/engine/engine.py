"""The engine: one base model, any number of adapters on it, and a sampler."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import jax
import numpy as np
from tokenizers import Tokenizer

from tinkery_local.engine.adam import AdamParams, Moments, adam_step
from tinkery_local.engine.adapter import Adapter, Snapshot
from tinkery_local.engine.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from tinkery_local.engine.datum import Batch, Datum, LossOutput, make_batches, unpad
from tinkery_local.engine.errors import EngineError
from tinkery_local.engine.lora import LoraSpec, init_lora
from tinkery_local.engine.losses import Loss, find_loss
from tinkery_local.engine.model import Params
from tinkery_local.engine.sampler import Sampler
from tinkery_local.engine.spec import read_spec
from tinkery_local.engine.training import loss_forward, loss_gradient, merged
from tinkery_local.engine.typed import on_device
from tinkery_local.engine.weights import load_weights

_SMALL_MODEL = 8_000_000
_KEPT_MERGED = 2


class Engine:
    """A base model with its adapters and its sampler; single-threaded and synchronous.

    Methods raise `EngineError` for what the caller got wrong, and then leave all state as it was.
    """

    def __init__(self, folder: Path) -> None:
        """Load a Hugging Face folder: config.json, *.safetensors, and tokenizer.json once a stop string is used."""
        self.folder = folder
        self.spec = read_spec(folder)
        weights = load_weights(folder, self.spec)
        self._params: Params = {name: on_device(weight) for name, weight in weights.items()}
        self._merged: OrderedDict[Snapshot, Params] = OrderedDict()
        # A small model's micro-batches should be worth a dispatch; a large one's activations must fit into memory.
        self._tokens_per_batch = 1536 if self.spec.size <= _SMALL_MODEL else 384
        self.base = Snapshot()
        self.sampler = Sampler(self.spec, self._params_of, self._decode)

    def create_adapter(self, lora: LoraSpec) -> Adapter:
        """A fresh adapter, which changes nothing yet."""
        weights = on_device(init_lora(self.spec, lora))
        zeros = on_device(np.zeros(weights.shape, np.float32))
        return Adapter(lora, weights, Moments(zeros, zeros))

    def forward_backward(
        self,
        adapter: Adapter,
        data: Sequence[Datum],
        loss_fn: str,
        config: Mapping[str, float],
        forward_only: bool = False,
    ) -> LossOutput:
        """Sum a loss over all tokens of the data and add its gradient to the adapter's, unless `forward_only`.

        Raises `EngineError` also if the loss is not finite.
        """
        loss = find_loss(loss_fn, config)
        batches = make_batches(self.spec, loss, config, data, self._tokens_per_batch)
        if forward_only:
            grads, outputs = adapter.grads, self._forward(adapter, loss, batches)
        else:
            grads, outputs = self._gradient(adapter, loss, batches)
        total = sum(float(np.asarray(losses, np.float64).sum()) for losses, _ in outputs)
        if not np.isfinite(total):
            raise EngineError(f"the {loss_fn} loss is {total}; nothing was added to the gradient.")
        adapter.grads = grads
        return LossOutput(
            unpad(data, batches, [np.asarray(logprobs) for _, logprobs in outputs]), {"loss:sum": total}
        )

    def optim_step(self, adapter: Adapter, adam: AdamParams) -> dict[str, float]:
        """Apply the gradient summed up since the last step and forget it; returns its norm before clipping.

        A gradient that is not finite is an `EngineError`, and is forgotten too.
        """
        if adapter.grads is None:
            raise EngineError("there is no gradient to apply: call forward_backward before optim_step.")
        grads, adapter.grads = adapter.grads, None
        adapter.weights, adapter.moments, norm = adam_step(adam, adapter.weights, adapter.moments, grads)
        return {"grad_norm": norm}

    def snapshot(self, adapter: Adapter) -> Snapshot:
        """The adapter's weights as they are now; training on leaves them alone."""
        return Snapshot(adapter.lora, adapter.weights)

    def save(self, state: Adapter | Snapshot, folder: Path) -> None:
        """Write a new folder: an adapter with its optimizer, a snapshot without. OSError if the disk refuses."""
        if state.lora is None or state.weights is None:
            raise EngineError("the base model itself has nothing to save.")
        weights = np.asarray(state.weights)
        if isinstance(state, Snapshot):
            write_checkpoint(self.spec, Checkpoint(state.lora, weights), folder)
            return
        optimizer = {"mean": state.moments.mean, "variance": state.moments.variance}
        if state.grads is not None:
            optimizer["grads"] = state.grads
        vectors = {name: np.asarray(vector) for name, vector in optimizer.items()}
        write_checkpoint(self.spec, Checkpoint(state.lora, weights, state.moments.step, vectors), folder)

    def load_adapter(self, folder: Path, with_optimizer: bool) -> Adapter:
        """An adapter as it was saved; without its optimizer it starts to train afresh."""
        checkpoint = read_checkpoint(self.spec, folder, with_optimizer)
        adapter = self.create_adapter(checkpoint.lora)
        adapter.weights = on_device(checkpoint.weights)
        if checkpoint.optimizer is not None:
            state = {name: on_device(vector) for name, vector in checkpoint.optimizer.items()}
            adapter.moments = Moments(state["mean"], state["variance"], checkpoint.step)
            adapter.grads = state.get("grads")
        return adapter

    def load_snapshot(self, folder: Path) -> Snapshot:
        """The weights of any saved adapter or snapshot."""
        checkpoint = read_checkpoint(self.spec, folder, with_optimizer=False)
        return Snapshot(checkpoint.lora, on_device(checkpoint.weights))

    def _forward(
        self, adapter: Adapter, loss: Loss, batches: Sequence[Batch]
    ) -> list[tuple[jax.Array, jax.Array]]:
        params = merged(self.spec, adapter.lora, self._params, adapter.weights)
        return [loss_forward(self.spec, loss, params, batch.on_device()) for batch in batches]

    def _gradient(
        self, adapter: Adapter, loss: Loss, batches: Sequence[Batch]
    ) -> tuple[jax.Array | None, list[tuple[jax.Array, jax.Array]]]:
        grads = adapter.grads
        outputs: list[tuple[jax.Array, jax.Array]] = []
        for batch in batches:
            losses, logprobs, more = loss_gradient(
                self.spec, adapter.lora, loss, self._params, adapter.weights, batch.on_device()
            )
            grads = more if grads is None else grads + more
            outputs.append((losses, logprobs))
        return grads, outputs

    def _params_of(self, snapshot: Snapshot) -> Params:
        """The whole weights of a snapshot; the last few are kept, for merging a large model takes a while."""
        if snapshot.lora is None or snapshot.weights is None:
            return self._params
        if snapshot not in self._merged:
            self._merged[snapshot] = merged(self.spec, snapshot.lora, self._params, snapshot.weights)
        self._merged.move_to_end(snapshot)
        while len(self._merged) > _KEPT_MERGED:
            self._merged.popitem(last=False)
        return self._merged[snapshot]

    def _decode(self, tokens: list[int]) -> str:
        return self._tokenizer.decode(tokens, skip_special_tokens=False)

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        file = self.folder / "tokenizer.json"
        if not file.is_file():
            raise EngineError(f"{file} does not exist, and stop strings need it; stop at tokens instead.")
        return Tokenizer.from_file(str(file))
