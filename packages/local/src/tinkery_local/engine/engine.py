"""The engine: one base model, any number of adapters on it, and a sampler."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from tinkery_local.engine.adam import AdamParams, Moments, adam_step
from tinkery_local.engine.adapter import Adapter, Snapshot
from tinkery_local.engine.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from tinkery_local.engine.datum import Datum, LossOutput, make_batches, unpad
from tinkery_local.engine.errors import EngineError
from tinkery_local.engine.lora import LoraSpec, Vector, adapted_shapes, init_lora, merge, pull_back
from tinkery_local.engine.losses import find_loss
from tinkery_local.engine.model import EMBED, HEAD, Params
from tinkery_local.engine.sampler import Sampler
from tinkery_local.engine.spec import read_spec
from tinkery_local.engine.training import loss_gradient
from tinkery_local.engine.typed import on_device
from tinkery_local.engine.weights import load_weights

_SMALL_MODEL = 8_000_000
_KEPT_MERGED = 2


class Engine:
    """A base model with its adapters and its sampler; single-threaded and synchronous.

    Methods raise `EngineError` for what the caller got wrong, and then leave all state as it was.
    """

    def __init__(self, folder: Path) -> None:
        """Load a Hugging Face folder: config.json, *.safetensors, and tokenizer.json when stop strings come."""
        self.folder = folder
        self.spec = read_spec(folder)
        self._weights = load_weights(folder, self.spec)
        # Tied or not, the head has a name of its own here: so a program serves the base model and adapters alike.
        self._weights.setdefault(HEAD, self._weights[EMBED])
        self._params: Params = {name: on_device(weight) for name, weight in self._weights.items()}
        self._merged: OrderedDict[Snapshot, Params] = OrderedDict()
        # Measured: twice as many tokens leave the processor's cache and take a third longer each.
        self._tokens_per_batch = 768 if self.spec.size <= _SMALL_MODEL else 384
        self.base = Snapshot()
        self.sampler = Sampler(self.spec, self._params_of, self._decode)

    def create_adapter(self, lora: LoraSpec) -> Adapter:
        """A fresh adapter, which changes nothing yet."""
        return _fresh(lora, init_lora(self.spec, lora))

    def forward_backward(
        self,
        adapter: Adapter,
        data: Sequence[Datum],
        loss_fn: str,
        config: Mapping[str, float],
        forward_only: bool = False,
    ) -> LossOutput:
        """Sum a loss over all tokens of the data and add its gradient to the adapter's, unless `forward_only`.

        Raises `EngineError` also if the loss or its gradient is not finite.
        """
        loss = find_loss(loss_fn, config)
        batches = make_batches(self.spec, loss, config, data, self._tokens_per_batch)
        params = self._params_of(adapter.now)
        trained = {} if forward_only else adapted_shapes(self.spec, adapter.lora)
        adapted = {name: param for name, param in params.items() if name in trained}
        fixed = {name: param for name, param in params.items() if name not in trained}
        grads = np.zeros_like(adapter.weights) if adapter.grads is None else adapter.grads.copy()
        total, logprobs = 0.0, list[Vector]()
        for batch in batches:
            losses, batch_logprobs, gradient = loss_gradient(
                self.spec, loss, fixed, adapted, batch.on_device()
            )
            if trained:
                grads += self._pull_back(adapter, gradient)
            total += float(np.asarray(losses, np.float64).sum())
            logprobs.append(np.asarray(batch_logprobs))
        if not (np.isfinite(total) and np.isfinite(grads).all()):
            raise EngineError(
                f"the {loss_fn} loss is {total} or its gradient is not finite; nothing was added to it."
            )
        if trained and batches:
            adapter.grads = grads
        return LossOutput(unpad(data, batches, logprobs), {"loss:sum": total})

    def optim_step(self, adapter: Adapter, adam: AdamParams) -> dict[str, float]:
        """Apply the gradient summed up since the last step and forget it; returns its norm before clipping."""
        if adapter.grads is None:
            raise EngineError("there is no gradient to apply: call forward_backward before optim_step.")
        weights, adapter.moments, norm = adam_step(adam, adapter.weights, adapter.moments, adapter.grads)
        adapter.now, adapter.grads = Snapshot(adapter.lora, weights), None
        return {"grad_norm": norm}

    def snapshot(self, adapter: Adapter) -> Snapshot:
        """The adapter's weights as they are now; training on leaves them alone."""
        return adapter.now

    def save(self, state: Adapter | Snapshot, folder: Path) -> None:
        """Write a new folder: an adapter with its optimizer, a snapshot without; OSError if the disk refuses."""
        snapshot = state.now if isinstance(state, Adapter) else state
        if snapshot.lora is None or snapshot.weights is None:
            raise EngineError("the base model itself has nothing to save.")
        checkpoint = Checkpoint(snapshot.lora, snapshot.weights)
        if isinstance(state, Adapter):
            optimizer = {"mean": state.moments.mean, "variance": state.moments.variance}
            if state.grads is not None:
                optimizer["grads"] = state.grads
            checkpoint = replace(checkpoint, step=state.moments.step, optimizer=optimizer)
        write_checkpoint(self.spec, checkpoint, folder)

    def load_adapter(self, folder: Path, with_optimizer: bool) -> Adapter:
        """An adapter as it was saved; without its optimizer it starts to train afresh."""
        checkpoint = read_checkpoint(self.spec, folder, with_optimizer)
        adapter = _fresh(checkpoint.lora, checkpoint.weights)
        if checkpoint.optimizer is not None:
            mean, variance = checkpoint.optimizer["mean"], checkpoint.optimizer["variance"]
            adapter.moments = Moments(mean, variance, checkpoint.step)
            adapter.grads = checkpoint.optimizer.get("grads")
        return adapter

    def load_snapshot(self, folder: Path) -> Snapshot:
        """The weights of any saved adapter or snapshot."""
        checkpoint = read_checkpoint(self.spec, folder, with_optimizer=False)
        return Snapshot(checkpoint.lora, checkpoint.weights)

    def _pull_back(self, adapter: Adapter, gradient: Params) -> Vector:
        """The gradient for the adapter's vector, given that for the merged weights."""
        arrays = {name: np.asarray(each) for name, each in gradient.items()}
        return pull_back(self.spec, adapter.lora, adapter.weights, arrays)

    def _params_of(self, snapshot: Snapshot) -> Params:
        """The whole weights of a snapshot; the last few are kept, since training and sampling share them."""
        if snapshot.lora is None or snapshot.weights is None:
            return self._params
        if snapshot not in self._merged:
            merged = merge(self.spec, snapshot.lora, self._weights, snapshot.weights)
            self._merged[snapshot] = {**self._params, **{name: on_device(w) for name, w in merged.items()}}
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


def _fresh(lora: LoraSpec, weights: Vector) -> Adapter:
    zeros = np.zeros_like(weights)
    return Adapter(lora, Snapshot(lora, weights), Moments(zeros, zeros))
