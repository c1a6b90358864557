"""Real numbers <-> the integers of a tensor: q = clip(round(x / scale) + zero_point). Ties round to even.

Source: ONNX operators QuantizeLinear and DequantizeLinear.
"""

import numpy as np
from numpy.typing import NDArray

from edge.manifest import Dtype, TensorSpec

DTYPES: dict[Dtype, type[np.generic]] = {"float32": np.float32, "int8": np.int8, "uint8": np.uint8}
LIMITS: dict[Dtype, tuple[int, int]] = {"int8": (-128, 127), "uint8": (0, 255)}


def quantize(x: NDArray[np.float32], spec: TensorSpec) -> NDArray[np.generic]:
    """Turn finite real values of any shape into `spec`'s own dtype; float32 passes unchanged."""
    if spec.dtype == "float32":
        return x.astype(np.float32, copy=False)
    low, high = LIMITS[spec.dtype]
    scale, zero_point = affine(spec)
    codes = np.clip(np.rint(x.astype(np.float64) / scale) + zero_point, low, high)
    quantized: NDArray[np.generic] = codes.astype(DTYPES[spec.dtype])
    return quantized


def dequantize(codes: NDArray[np.generic], spec: TensorSpec) -> NDArray[np.float32]:
    """Turn values of `spec`'s own dtype into real ones; always a new array."""
    if spec.dtype == "float32":
        return codes.astype(np.float32)
    scale, zero_point = affine(spec)
    real: NDArray[np.float32] = (codes.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)
    return real


def affine(spec: TensorSpec) -> tuple[float, int]:
    """Scale and zero point of an integer tensor; raises ValueError where one is missing."""
    if spec.scale is None or spec.zero_point is None:
        raise ValueError(f"{spec.name}: a {spec.dtype} tensor needs scale and zero_point")
    return spec.scale, spec.zero_point
