"""LiteRT and tflite-runtime: one interpreter, under two names and of two ages; and LiteRT with an NPU's delegate."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import BadModelError
from edge.manifest import RuntimeName, Variant
from edge.runtimes.memory import StateLine, ends_of, in_order
from edge.runtimes.tensors import RealOutput, as_input, must_be

ETHOS_U_DELEGATE = "libethosu_delegate.so"
"""Source: NXP i.MX Machine Learning User's Guide, i.MX 93: the board's system brings it in /usr/lib."""


class TfliteSession:
    """A .tflite model. See `edge.runtimes.Session`."""

    def __init__(self, data: bytes, variant: Variant, *, threads: int = 1) -> None:
        """Load the model and allocate its tensors; raises `BadModelError`."""
        self.variant = variant
        if data[4:8] != b"TFL3":  # Source: TensorFlow Lite schema, file_identifier
            raise BadModelError(f"{variant.file} is not a .tflite file", remedy="compile the model again")
        interpreter_class = _interpreter_class(variant.runtime)
        try:
            with _silent():
                delegates = load_ethos_u() if variant.runtime == "ethos-u" else None
                interpreter = interpreter_class(
                    model_content=data, num_threads=threads, experimental_delegates=delegates
                )
                interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as exc:
            raise BadModelError(
                f"{variant.file}: {variant.runtime} cannot load it: {str(exc).splitlines()[0]}",
                remedy="check that it is a .tflite file and that its operators exist in this runtime",
            ) from exc
        inputs, outputs = _checked(variant, interpreter.get_input_details(), interpreter.get_output_details())
        self._invoke = interpreter.invoke
        # functions that make a view on demand: the interpreter refuses to run while any view is alive
        self._input, *entrances = [interpreter.tensor(detail["index"]) for detail in inputs]
        views = [interpreter.tensor(detail["index"]) for detail in outputs]
        self._outputs, exits = views[: len(variant.outputs)], views[len(variant.outputs) :]
        self._real = [RealOutput(spec) for spec in variant.outputs]
        self._states = [StateLine(*one) for one in zip(variant.state, entrances, exits, strict=True)]

    def set_input(self, x: NDArray[np.generic]) -> None:
        """Copy `x` into the input."""
        np.copyto(self._input(), as_input(x, self.variant.input))

    def input_buffer(self) -> NDArray[np.generic]:
        """A view of the input."""
        view: NDArray[np.generic] = self._input()
        return view

    def invoke(self) -> None:
        """Run the model."""
        for state in self._states:
            state.put()
        self._invoke()
        for state in self._states:
            state.take()

    def reset(self) -> None:
        """Forget: the next step begins with every state at zero."""
        for state in self._states:
            state.reset()

    def output(self, index: int = 0) -> NDArray[np.float32]:
        """One output as real numbers."""
        return self._real[index].read(self._outputs[index]())

    def close(self) -> None:
        """Let go of the interpreter."""
        for name in ("_invoke", "_input", "_outputs", "_states"):
            self.__dict__.pop(name, None)


def load_ethos_u() -> list[Any]:
    """Load the delegate that hands a model's `ethos-u` operators to the NPU.

    Raises: OSError or ValueError, if this machine does not have it or it finds no NPU; ImportError without LiteRT.
    """
    from ai_edge_litert.interpreter import load_delegate

    return [load_delegate(ETHOS_U_DELEGATE)]


def _interpreter_class(runtime: RuntimeName) -> Any:  # noqa: ANN401 - untyped libraries
    if runtime == "tflite-runtime":
        from tflite_runtime.interpreter import Interpreter
    else:
        from ai_edge_litert.interpreter import Interpreter
    return Interpreter


def _checked(variant: Variant, *ends: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The model's own inputs and outputs, in the order of the variant, which says what they must be."""
    checked = []
    for specs, details in zip(ends_of(variant), ends, strict=True):
        found = in_order(variant, specs, details, lambda detail: str(detail["name"]))
        for spec, detail in zip(specs, found, strict=True):
            dtype = np.dtype(detail["dtype"]).name
            scale, zero_point = detail["quantization"] if dtype != "float32" else (None, None)
            must_be(spec, tuple(int(n) for n in detail["shape"]), dtype, scale, zero_point)
        checked.append(found)
    return checked


@contextmanager
def _silent() -> Iterator[None]:
    """Drop the line that the library itself writes to file descriptor 2 for each model; no setting does."""
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
