"""A network as the passes before quantization see it, whatever file it came from: pure data on numpy arrays.

`onnx_layers` and `tflite_layers` read it from a graph and write changed constants back.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Constants = Mapping[str, NDArray[np.float32]]
"""Weights and biases by name, in the shape in which the file keeps them."""
Role = Literal["linear", "depthwise", "through", "join", "wall"]


@dataclass(frozen=True, slots=True)
class Layer:
    """One operator.

    `linear` mixes channels with a weight; `depthwise` scales each channel by a weight of its own; `through` keeps every
    channel apart and commutes with a positive factor (ReLU, pools, padding with zeros); `join` adds activations of the
    same shape; a `wall` does none of these, and says why.
    """

    name: str
    op: str
    role: Role
    inputs: tuple[str, ...]
    """Activations only."""
    outputs: tuple[str, ...]
    weight: str = ""
    bias: str = ""
    out_axis: int = 0
    """Of the weight."""
    in_axis: int = 0
    """Of the weight; the same as `out_axis` for depthwise."""
    rectified: bool = False
    """Its output is rectified before anything is quantized: by itself, or by the operator after it."""
    ceiling: float = inf
    """Largest value that it writes: 6 of a ReLU6. A channel that stays below it knows nothing of it."""
    reason: str = ""
    """Why it is a wall."""


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """Operators in the order of computation."""

    layers: tuple[Layer, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    constants: Constants = field(repr=False)
    moved: frozenset[str] = frozenset()
    """Activations whose channels do not lie on the axis along which an observer counts."""


def per_channel_max(weight: NDArray[np.floating[Any]], axis: int) -> NDArray[np.float64]:
    """Largest magnitude of each slice along `axis`."""
    moved = np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1)
    largest: NDArray[np.float64] = np.abs(moved).max(axis=1).astype(np.float64)
    return largest


def along(values: NDArray[np.float64], axis: int, ndim: int) -> NDArray[np.float64]:
    """Shape [channels] so that it multiplies a weight along `axis`."""
    sides = [1] * ndim
    sides[axis] = -1
    return values.reshape(sides)


def fake_quantize(weight: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Return what a symmetric int8 weight, one scale a channel along `axis`, stands for.

    Source: TensorFlow Lite 8-bit quantization specification; ONNX Runtime's quantizer uses the same -127..127.
    """
    scale = np.maximum(along(per_channel_max(weight, axis), axis, weight.ndim) / 127, 1e-30)
    real: NDArray[np.float32] = (np.clip(np.rint(weight / scale), -127, 127) * scale).astype(np.float32)
    return real
