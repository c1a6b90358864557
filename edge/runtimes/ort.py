"""onnxruntime, with inputs and outputs bound once to fixed arrays, so that a call copies and allocates nothing."""

from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import BadModelError
from edge.manifest import Variant
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
        self._binding = self._bind(ort)

    def set_input(self, x: NDArray[np.generic]) -> None:
        """Copy `x` into the input."""
        np.copyto(self._input, as_input(x, self.variant.input))

    def input_buffer(self) -> NDArray[np.generic]:
        """The input itself."""
        return self._input

    def invoke(self) -> None:
        """Run the model."""
        self._model.run_with_iobinding(self._binding)

    def output(self, index: int = 0) -> NDArray[np.float32]:
        """One output as real numbers."""
        return self._real[index].read(self._outputs[index])

    def close(self) -> None:
        """Let go of the session."""
        for name in ("_binding", "_model"):
            self.__dict__.pop(name, None)

    def _bind(self, ort: ModuleType) -> Any:  # noqa: ANN401 - untyped library
        """Tell onnxruntime to read and write our arrays; on the CPU an OrtValue shares the array's memory."""
        binding = self._model.io_binding()
        make = ort.OrtValue.ortvalue_from_numpy
        self._values = [make(self._input), *(make(array) for array in self._outputs)]  # keeps the memory alive
        binding.bind_ortvalue_input(self._model.get_inputs()[0].name, self._values[0])
        for tensor, value in zip(self._model.get_outputs(), self._values[1:], strict=True):
            binding.bind_ortvalue_output(tensor.name, value)
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
    inputs, outputs = model.get_inputs(), model.get_outputs()
    if len(inputs) != 1 or len(outputs) != len(variant.outputs):
        raise BadModelError(
            f"{variant.file} has {len(inputs)} inputs and {len(outputs)} outputs, not 1 and {len(variant.outputs)}",
            remedy="give a model with one input",
        )
    for spec, tensor in zip((variant.input, *variant.outputs), (*inputs, *outputs), strict=True):
        must_be(spec, tuple(tensor.shape), _DTYPES.get(tensor.type, tensor.type), None, None)
