"""Steps whose inputs are all known are computed now: what remains is what depends on the network's input."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.importer.program import Program, Step
from compiler.importer.refusal import KNOWN, RefusedError

Arrays = tuple[NDArray[Any], ...]


def is_foldable(step: Step) -> bool:
    """Tell whether the step gives the same values each time: not where random numbers are drawn."""
    return step.kind not in KNOWN or "random" not in KNOWN[step.kind][0]


def fold_shape(step: Step, shape: tuple[int, ...]) -> Arrays | None:
    """Compute Shape or Size, which need the size of their input only; None for other steps."""
    if step.kind == "Size" and not step.domain:
        return (np.array(np.prod(shape, dtype=np.int64)),)
    if step.kind == "Shape" and not step.domain:
        window = slice(step.attributes.get("start"), step.attributes.get("end"))
        return (np.array(shape[window], np.int64),)
    return None


def fold_step(program: Program, step: Step, inputs: list[NDArray[Any] | None]) -> Arrays:
    """Compute a step whose inputs are all known, with the reference implementation of the onnx package.

    Raises: RefusedError.
    """
    try:
        run = _evaluator(program, step)
        return run({name: array for name, array in zip(step.inputs, inputs, strict=True) if array is not None})
    except Exception as exc:  # the evaluator raises many types for operators that it does not know
        reason = f"it cannot be computed ahead: {type(exc).__name__}: {exc}".splitlines()[0]
        raise RefusedError(reason, remedy="replace this layer with standard operators") from exc


def _evaluator(program: Program, step: Step) -> Callable[[dict[str, NDArray[Any]]], Arrays]:
    import onnx
    from onnx.reference import ReferenceEvaluator

    opsets = {entry.domain: entry.version for entry in program.proto.opset_import}
    outputs = [onnx.helper.make_empty_tensor_value_info(name) for name in step.outputs if name]
    inputs = [onnx.helper.make_empty_tensor_value_info(name) for name in dict.fromkeys(step.inputs) if name]
    graph = onnx.helper.make_graph([step.proto], "fold", inputs, outputs)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid(*item) for item in opsets.items()])
    evaluator = ReferenceEvaluator(model)
    return lambda feed: tuple(np.asarray(item) for item in evaluator.run(None, feed))
