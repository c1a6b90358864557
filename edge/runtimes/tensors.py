"""What every runtime's session needs: shaping an input, dequantizing an output without a new array."""

from struct import Struct

import numpy as np
from numpy.typing import NDArray

from edge.errors import BadModelError
from edge.manifest import TensorSpec
from edge.preprocess import sample_shape
from edge.quantization import affine


def as_input(x: NDArray[np.generic], spec: TensorSpec) -> NDArray[np.generic]:
    """Give `x` the model's shape; raises ValueError if dtype or shape is another's."""
    if x.dtype != np.dtype(spec.dtype) or x.shape not in {spec.shape, sample_shape(spec)}:
        raise ValueError(f"input {spec.name!r} takes {spec.dtype} {spec.shape}, got {x.dtype} {x.shape}")
    return x.reshape(spec.shape)


_FEW = 32
"""So few codes are quicker looked up in plain Python: each call into numpy brings code of its own into the caches."""


class RealOutput:
    """One output as real numbers, in a buffer of its own that `read` overwrites."""

    def __init__(self, spec: TensorSpec) -> None:
        """Prepare the buffer."""
        self._buffer: NDArray[np.float32] = np.empty(spec.shape, np.float32)
        self._scale: np.float32 | None = None
        self._zero_point: np.float32 | None = None
        if spec.dtype != "float32":
            scale, zero_point = affine(spec)
            self._scale, self._zero_point = np.float32(scale), np.float32(zero_point) if zero_point else None
        self._table: list[float] | None = None
        if self._scale is not None and self._buffer.size <= _FEW:
            self._table = [float(self.read(code).flat[0]) for code in np.arange(256, dtype=np.uint8).view(spec.dtype)]
            self._pack, self._bytes = Struct(f"={self._buffer.size}f").pack_into, self._buffer.data.cast("B")

    def read(self, codes: NDArray[np.generic]) -> NDArray[np.float32]:
        """Dequantize the runtime's own array of this output."""
        if self._table is not None:
            self._pack(self._bytes, 0, *map(self._table.__getitem__, codes.tobytes()))
        elif self._scale is None:
            np.copyto(self._buffer, codes, casting="same_kind")
        elif self._zero_point is None:
            np.multiply(codes, self._scale, out=self._buffer, dtype=np.float32)
        else:
            np.subtract(codes, self._zero_point, out=self._buffer, dtype=np.float32)
            np.multiply(self._buffer, self._scale, out=self._buffer)
        return self._buffer


def must_be(
    spec: TensorSpec, shape: tuple[int | str | None, ...], dtype: str, scale: float | None, zero_point: int | None
) -> None:
    """Raise `BadModelError` unless the model's own tensor is what `spec` says; an open dimension fits any number."""
    claimed = f"{spec.dtype} {list(spec.shape)}"
    known = len(shape) == len(spec.shape) and all(
        not isinstance(found, int) or found == wanted for found, wanted in zip(shape, spec.shape, strict=True)
    )
    if dtype != spec.dtype or not known:
        raise BadModelError(
            f"tensor {spec.name!r} is {dtype} {list(shape)}, not {claimed}", remedy="compile the model again"
        )
    if scale is not None and (zero_point != spec.zero_point or abs(scale - affine(spec)[0]) > 1e-6 * scale):
        raise BadModelError(f"tensor {spec.name!r} has another scale than its manifest", remedy="compile it again")
