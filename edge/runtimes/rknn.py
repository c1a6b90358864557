"""Rockchip's NPUs, through rknn-toolkit-lite2 (`rknnlite`), which exists for aarch64 Linux only.

Not run on a board by us. What it rests on: the interface that rknn-toolkit-lite2 2.5.0 states in its docstrings, and
what the full toolkit's simulator does with the same calls (float32 in and out, pictures as NCHW, outputs in the
model's order). A bundle's golden samples decide on the device whether the NPU computes what the simulator did.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import BadModelError
from edge.manifest import Variant
from edge.runtimes.tensors import as_input, must_be

LIBRARY = "librknnrt.so"
"""Rockchip's runtime; the board's system brings it in /usr/lib."""
COMPATIBLE = Path("/proc/device-tree/compatible")
"""Board and chip, each ended by a zero byte, such as rockchip,rk3588. Source: Devicetree Specification, 2.3.1."""
REMEDY = "compile for this very chip, and install the NPU driver and librknnrt.so of the toolkit's release"


class RknnSession:
    """An .rknn model, float32 in and out: the runtime itself quantizes. See `edge.runtimes.Session`."""

    def __init__(self, data: bytes, variant: Variant) -> None:
        """Load the model onto the NPU; raises `BadModelError`."""
        from rknnlite.api import RKNNLite

        self.variant = variant
        if data[:4] != b"RKNN":
            raise BadModelError(f"{variant.file} is not an .rknn file", remedy="compile the model again")
        if variant.state:
            problem = f"{variant.file} has a state, which this release carries on the CPU's runtimes only"
            raise BadModelError(problem, remedy="compile the model for a CPU target")
        for spec in (variant.input, *variant.outputs):
            must_be(spec, spec.shape, "float32", None, None)  # the runtime converts, so nothing else is meant
        self._model: Any = RKNNLite()
        with tempfile.NamedTemporaryFile(suffix=".rknn") as file:  # the library reads it from a path, at once
            file.write(data)
            file.flush()
            self._must(self._model.load_rknn(file.name), "load_rknn")
        self._must(self._model.init_runtime(), "init_runtime")
        self._format = ["nchw"] if len(variant.input.shape) == 4 else None
        self._input: NDArray[np.float32] = np.zeros(variant.input.shape, np.float32)
        self._outputs: list[NDArray[np.float32]] = [np.zeros(spec.shape, np.float32) for spec in variant.outputs]

    def set_input(self, x: NDArray[np.generic]) -> None:
        """Copy `x` into the input."""
        np.copyto(self._input, as_input(x, self.variant.input))

    def input_buffer(self) -> NDArray[np.generic]:
        """The input itself."""
        return self._input

    def invoke(self) -> None:
        """Run the model; raises `BadModelError` if the NPU gives no answer of the right size."""
        found = self._model.inference(inputs=[self._input], data_format=self._format)
        if found is None or len(found) != len(self._outputs):
            raise BadModelError(f"{self.variant.file}: the NPU gave no answer", remedy=REMEDY)
        for buffer, values in zip(self._outputs, found, strict=True):
            if np.size(values) != buffer.size:
                raise BadModelError(f"{self.variant.file}: the NPU gave {np.shape(values)}", remedy=REMEDY)
            np.copyto(buffer, np.reshape(values, buffer.shape), casting="same_kind")

    def reset(self) -> None:
        """Do nothing: none of its models has a state."""

    def output(self, index: int = 0) -> NDArray[np.float32]:
        """One output."""
        return self._outputs[index]

    def close(self) -> None:
        """Free the NPU."""
        model = self.__dict__.pop("_model", None)
        if model is not None:
            model.release()

    def _must(self, returned: object, step: str) -> None:
        """The library prints what is wrong, and returns a number."""
        if returned != 0:
            self._model.release()
            raise BadModelError(f"{self.variant.file}: {step} failed, rknnlite printed why", remedy=REMEDY)


def has_rockchip_npu() -> bool:
    """Whether the kernel says that this is a Rockchip board; its NPU's driver is tried when a model is opened."""
    try:
        names = COMPATIBLE.read_bytes().split(b"\0")
    except OSError:
        return False
    return any(name.startswith(b"rockchip,rk3588") for name in names)
