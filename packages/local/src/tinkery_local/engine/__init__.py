"""The engine of the embedded server: LoRA training and batched sampling of Llama-like models on JAX.

Synchronous and single-threaded; no I/O but model folders and checkpoints. Read `engine.py` first.
"""

from tinkery_local.engine.adam import AdamParams
from tinkery_local.engine.adapter import Adapter, Snapshot
from tinkery_local.engine.compile_cache import compilations, keep_compiled_programs
from tinkery_local.engine.datum import Datum, LossOutput
from tinkery_local.engine.engine import Engine
from tinkery_local.engine.errors import EngineError
from tinkery_local.engine.lora import LoraSpec
from tinkery_local.engine.sampler import Sampler
from tinkery_local.engine.sampling import (
    Finished,
    SampledSequence,
    SampleRequest,
    SampleResult,
    TopkLogprobs,
)
from tinkery_local.engine.spec import ModelSpec

__all__ = [
    "AdamParams",
    "Adapter",
    "Datum",
    "Engine",
    "EngineError",
    "Finished",
    "LoraSpec",
    "LossOutput",
    "ModelSpec",
    "SampleRequest",
    "SampleResult",
    "SampledSequence",
    "Sampler",
    "Snapshot",
    "TopkLogprobs",
    "compilations",
    "keep_compiled_programs",
]
