"""onnxruntime, with inputs and outputs bound once to fixed arrays, so that a call copies and allocates nothing.

A state has two arrays and the model two bindings: one step reads the first and writes the second, the next one the
other way round.
"""

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import BadModelError
from edge.manifest import Variant
from edge.runtimes.memory import ends_of, in_order, passes_unchanged, zero_of
from edge.runtimes.tensors import RealOutput, as_input, must_be

_FATAL = 4
_DTYPES = {"tensor(float)": "float32", "tensor(int8)": "int8", "tensor(uint8)": "uint8"}


class OrtSession:
    """An .onnx model. See `edge.runtimes.Session`."""

    def __init__(self, data: bytes, variant: Variant, *, threads: int = 1, providers: tuple[str, ...] = ()) -> None:
        """Load the model and bind its buffers; raises `BadModelError`."""
        import onnxruntime as ort

        self.variant = variant
        ort.set_default_logger_severity(_FATAL)
        try:
            model = ort.InferenceSession(data, _options(ort, threads), providers=_available(ort, providers))
        except Exception as exc:  # onnxruntime's errors share no base class but Exception
            raise BadModelError(
                f"{variant.file}: onnxruntime cannot load it: {str(exc).splitlines()[0]}",
                remedy="check that it is an .onnx file and that its operators exist in this runtime",
            ) from exc
        _check(variant, model)
        self.providers: tuple[str, ...] = tuple(model.get_providers())
        self._model = model
        self._input: NDArray[np.generic] = np.zeros(variant.input.shape, variant.input.dtype)
        self._outputs = [np.zeros(spec.shape, spec.dtype) for spec in variant.outputs]
        self._real = [RealOutput(spec) for spec in variant.outputs]
        self._states = [[np.zeros(one.input.shape, one.input.dtype) for _ in range(2)] for one in variant.state]
        self._values: list[Any] = []
        self._bindings = [self._bind(ort, turn) for turn in range(2 if variant.state else 1)]
        self._turn = 0
        self.reset()

    def set_input(self, x: NDArray[np.generic]) -> None:
        """Copy `x` into the input."""
        np.copyto(self._input, as_input(x, self.variant.input))

    def input_buffer(self) -> NDArray[np.generic]:
        """The input itself."""
        return self._input

    def invoke(self) -> None:
        """Run the model."""
        self._model.run_with_iobinding(self._bindings[self._turn])
        self._turn = (self._turn + 1) % len(self._bindings)

    def reset(self) -> None:
        """Forget: the next step begins with every state at zero."""
        for spec, arrays in zip(self.variant.state, self._states, strict=True):
            arrays[self._turn].fill(zero_of(spec.input))

    def output(self, index: int = 0) -> NDArray[np.float32]:
        """One output as real numbers."""
        return self._real[index].read(self._outputs[index])

    def close(self) -> None:
        """Let go of the session."""
        for name in ("_bindings", "_values", "_model"):
            self.__dict__.pop(name, None)

    def _bind(self, ort: ModuleType, turn: int) -> Any:  # noqa: ANN401 - untyped library
        """Tell onnxruntime to read and write our arrays; on the CPU an OrtValue shares the array's memory.

        `turn`: which of a state's two arrays this binding reads; it writes the other one.
        """
        binding = self._model.io_binding()
        inputs, outputs = ends_of(self.variant)
        read = [self._input, *(arrays[turn] for arrays in self._states)]
        written = [*self._outputs, *(arrays[1 - turn] for arrays in self._states)]
        for bind, specs, arrays in (
            (binding.bind_ortvalue_input, inputs, read),
            (binding.bind_ortvalue_output, outputs, written),
        ):
            for spec, array in zip(specs, arrays, strict=True):
                value = ort.OrtValue.ortvalue_from_numpy(array)
                self._values.append(value)  # keeps the memory alive
                bind(spec.name, value)
        return binding


def _options(ort: ModuleType, threads: int) -> Any:  # noqa: ANN401 - untyped library
    options = ort.SessionOptions()
    options.log_severity_level = _FATAL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # between two frames a spinning thread only heats the device
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _available(ort: ModuleType, wanted: tuple[str, ...]) -> list[str]:
    """Those of `wanted` that this build has, then the CPU."""
    here = ort.get_available_providers()
    return [*(name for name in wanted if name in here and name != "CPUExecutionProvider"), "CPUExecutionProvider"]


def _check(variant: Variant, model: Any) -> None:  # noqa: ANN401 - untyped library
    """The model's own tensors against what the variant claims."""
    for specs, tensors in zip(ends_of(variant), (model.get_inputs(), model.get_outputs()), strict=True):
        found = in_order(variant, specs, tensors, lambda tensor: str(tensor.name))
        for spec, tensor in zip(specs, found, strict=True):
            must_be(spec, tuple(tensor.shape), _DTYPES.get(tensor.type, tensor.type), None, None)
    if not all(passes_unchanged(one) for one in variant.state):
        raise BadModelError(f"{variant.file} has a state that changes its type", remedy="compile the model again")
