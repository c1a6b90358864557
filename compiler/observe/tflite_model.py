"""TFLite model + samples -> Observations: LiteRT keeps every inner tensor."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.observe import Observations, Observer
from compiler.quiet import quiet

CHANNEL_AXIS = -1


def observe_tflite(content: bytes, samples: Iterable[NDArray[np.float32]]) -> Observations:
    """Run the samples and gather every float activation, the input and the outputs included."""
    observers: dict[str, Observer] = {}
    for tensors in run_tflite(content, samples):
        for name, values in tensors.items():
            observers.setdefault(name, Observer(CHANNEL_AXIS)).see(values)
    return {name: one.result() for name, one in observers.items()}


def run_tflite(content: bytes, samples: Iterable[NDArray[np.float32]]) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Yield for each step of each sample the main graph's activations by name, integers as what they stand for.

    A sample is [steps, ...], 1 without a state. A state is zero at its beginning and goes from step to step.
    Without LiteRT's own delegate: it fuses operators, whose inner tensors then hold nothing.
    """
    with quiet():
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
        from ai_edge_litert.tools import flatbuffer_utils

        graph = flatbuffer_utils.read_model_from_bytearray(content).subgraphs[0]
        interpreter = Interpreter(
            model_content=content,
            num_threads=1,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
    first, *states = interpreter.get_input_details()
    exits = interpreter.get_output_details()
    exits = exits[len(exits) - len(states) :]
    details = {one["index"]: one for one in interpreter.get_tensor_details()}
    given = [first, *states]
    made = (*(one["index"] for one in given), *(at for op in graph.operators for at in op.outputs), *graph.outputs)
    produced = [index for index in dict.fromkeys(made) if index in details]  # LiteRT names none that it cannot describe
    for sample in samples:
        held = [np.zeros(state["shape"], np.float32) for state in states]
        for x in sample:
            for values, detail in zip((np.asarray(x, np.float32), *held), given, strict=True):
                interpreter.set_tensor(detail["index"], _codes(values.reshape(detail["shape"]), detail))
            interpreter.invoke()
            found = {details[index]["name"]: _real(interpreter.get_tensor(index), details[index]) for index in produced}
            held = [one for one in (found[detail["name"]] for detail in exits) if one is not None]
            yield {name: one for name, one in found.items() if one is not None and one.size}


def _codes(values: NDArray[np.float32], detail: dict[str, Any]) -> NDArray[np.generic]:
    """Real values -> the tensor's own type."""
    dtype = np.dtype(detail["dtype"])
    if dtype == np.float32:
        return values
    scale, zero_point = detail["quantization"]
    limits = np.iinfo(dtype)
    codes: NDArray[np.generic] = np.clip(np.rint(values / scale) + zero_point, limits.min, limits.max).astype(dtype)
    return codes


def _real(values: NDArray[np.generic], detail: dict[str, Any]) -> NDArray[np.float32] | None:
    """Return the tensor's own type -> real values; None for indices, shapes and conditions."""
    scale, zero_point = detail["quantization"]
    if values.dtype == np.float32:
        return values.astype(np.float32)
    if not scale or values.dtype.kind not in "iu":
        return None
    real: NDArray[np.float32] = ((values.astype(np.float32) - zero_point) * scale).astype(np.float32)
    return real
