"""What JAX and safetensors leave untyped at their borders, with its types."""

# Their own annotations hold bare Callable, PathLike and Any; only this file looks past that.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar

import jax
import numpy as np
from jax import monitoring
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

P = ParamSpec("P")
R = TypeVar("R")
Tree = TypeVar("Tree")
Aux = TypeVar("Aux")


def program(
    static: Sequence[str] = (), donate: Sequence[str] = ()
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """`jax.jit`, as a decorator that keeps the function's signature."""
    return partial(jax.jit, static_argnames=static, donate_argnames=donate)


def gradient(function: Callable[[Tree], tuple[jax.Array, Aux]], at: Tree) -> tuple[Tree, Aux]:
    """The gradient of the first result, and the second one as it is."""
    return jax.grad(function, has_aux=True)(at)


def on_device(array: NDArray[np.generic] | np.generic) -> jax.Array:
    return jax.device_put(array)


def on_compile(count: Callable[[float], None]) -> None:
    """Call `count` with the seconds of every compilation from now on."""

    def listen(event: str, duration_secs: float, **kwargs: str | int) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            count(duration_secs)

    monitoring.register_event_duration_secs_listener(listen)


def configure(**options: str | float) -> None:
    """Set options of JAX, named without their `jax_`."""
    for name, value in options.items():
        jax.config.update(f"jax_{name}", value)


def read_tensors(file: Path) -> dict[str, NDArray[np.generic]]:
    """All tensors of a safetensors file, bfloat16 included; raises OSError or SafetensorError."""
    with safe_open(file, framework="np") as tensors:
        return {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118


def write_tensors(file: Path, tensors: Mapping[str, NDArray[np.floating]]) -> None:
    """Write a safetensors file, marked as other libraries expect it."""
    arrays = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    save_file(arrays, file, metadata={"format": "pt"})
