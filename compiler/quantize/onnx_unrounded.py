"""float node -> QuantizeLinear -> DequantizeLinear -> float node, or output: the same without the rounding between.

ONNX Runtime's quantizer rounds a value for all its readers, also for those that were to stay in float, if one of them
is an integer operator. A state that goes round in float would lose all but 8 bits at every step by that.
"""

from collections.abc import Collection
from typing import Any

ROUNDED = "_rounded"
"""Ends the name of what the integer readers of an output get."""


def leave_unrounded(model: Any, keep_float: Collection[str]) -> None:  # noqa: ANN401  an onnx.ModelProto
    """Let float nodes, and outputs, have what a float node or an input gives as it is; in place."""
    if not keep_float:
        return
    graph = model.graph
    kept = [node for node in graph.node if node.name in keep_float]
    found = _unrounded(graph, {name for node in kept for name in node.output})
    for node in kept:
        node.input[:] = [found.get(name, name) for name in node.input]
    for output in graph.output:
        if output.name in found:
            _rename(graph, output.name, output.name + ROUNDED)
            _rename(graph, found[output.name], output.name)


def _unrounded(graph: Any, made_in_float: set[str]) -> dict[str, str]:  # noqa: ANN401  an onnx.GraphProto
    """Name, for the end of each pair of Q and DQ, what goes into it; those only that begin in float."""
    free = made_in_float | {value.name for value in graph.input}
    coded = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "QuantizeLinear"}
    ends = [(node.output[0], node.input[0]) for node in graph.node if node.op_type == "DequantizeLinear"]
    return {end: coded[code] for end, code in ends if coded.get(code) in free}


def _rename(graph: Any, old: str, new: str) -> None:  # noqa: ANN401
    """Call a value otherwise where nodes write and read it."""
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
