"""A .tflite file -> ledger: in which type each operator computes, and why, before any NPU's compiler has seen it."""

import json
from collections.abc import Set as AbstractSet
from functools import cache

from compiler.placement.ledger import Cause, Ledger, Row
from compiler.placement.macs import tflite_macs
from compiler.placement.tflite_graph import Graph, Operator, read_graph
from compiler.quiet import quiet
from edge.target import Target

_INTEGERS = {"int8", "uint8", "int16", "int4"}
_FLOATS = {"float32", "float16"}
_CONVERSIONS = {"QUANTIZE", "DEQUANTIZE"}
_SIZES = {"SHAPE", "RANK"}
"""These read a shape, not the data in it."""
Why = tuple[Cause, str]


def read_tflite(content: bytes, target: Target, *, kept_float: AbstractSet[str] = frozenset()) -> Ledger:
    """Say of every operator in which type it computes on the CPU, and why.

    Args:
        content: the file, float or quantized.
        target: gives the ledger its name; on an NPU target `compiler.placement.place` goes on from here.
        kept_float: operators (by kind or by the name of their output) that the recipe keeps in float.

    Raises: BadModelError; MissingExtraError.
    """
    graph = read_graph(content)
    whole = not any(_computes_in(op) in _INTEGERS for op in graph.operators)
    rows = []
    for op in graph.operators:
        cause, reason = _conversion(op, graph) if op.kind in _CONVERSIONS else _why(op, whole, kept_float)
        dtype = _computes_in(op)
        if op.kind in _CONVERSIONS and op.inputs:
            dtype = f"{op.inputs[0].dtype} to {op.outputs[0].dtype}"
        rows.append(Row(op.index, op.kind, op.name, "cpu", dtype, cause, reason, tflite_macs(op)))
    return Ledger(target.name, tuple(rows))


def _computes_in(op: Operator) -> str:
    """Return the type of the data that flows through: outputs such as ARG_MAX's index do not say it."""
    known = _INTEGERS | _FLOATS
    if op.kind in _CONVERSIONS:  # QUANTIZE from int8 to int8 changes a scale; all others stand between two types
        return op.outputs[0].dtype if op.inputs and op.inputs[0].dtype in _INTEGERS else op.inputs[0].dtype
    data = () if op.kind in _SIZES else tuple(one for one in op.inputs if not one.constant)
    for tensor in (*op.outputs, *data):
        if tensor.dtype in known:
            return tensor.dtype
    return op.outputs[0].dtype if op.outputs else "none"


def _why(op: Operator, whole: bool, kept_float: AbstractSet[str]) -> Why:
    if _computes_in(op) not in _FLOATS:
        return "wanted", "computes in integers"
    if whole and any(one.constant and one.dtype in _INTEGERS for one in op.inputs):
        return "planned", "the variant keeps its weights in 8 bits and computes in float"
    if whole:
        return "planned", "the variant is float"
    if kept_float & {op.kind, op.name}:
        return "planned", "kept in float by the recipe"
    if op.kind not in _int8_kinds():
        return "refused", f"ai-edge-quantizer has no static int8 for {op.kind}"
    return "unknown", f"computes in float though {op.kind} has an int8 kernel"


def _conversion(op: Operator, graph: Graph) -> Why:
    source, result = op.inputs[0], op.outputs[0]
    if source.constant:
        return "planned", "weights kept small in the file, expanded when the model is loaded"
    if source.dtype in _INTEGERS and result.dtype in _INTEGERS:
        return "wanted", "changes the scale between two operators"
    if source in graph.inputs:
        return "conversion", "the input is float: a program that gives integers would save this"
    if result in graph.outputs:
        return "conversion", "the output is float: a program that takes integers would save this"
    beyond = [one for one in graph.operators if one is not op and (result in one.inputs or source in one.outputs)]
    in_float = sorted({one.kind for one in beyond if _computes_in(one) in _FLOATS and one.kind not in _CONVERSIONS})
    return "conversion", f"border to what computes in float: {', '.join(in_float) or 'the next conversion'}"


@cache
def _int8_kinds() -> frozenset[str]:
    """Return what the quantizer's own policy can compute with int8 weights and activations."""
    with quiet():
        from ai_edge_quantizer import default_policy
    return frozenset(json.loads(default_policy.DEFAULT_JSON_POLICY)["ops_per_config"]["static_wi8_ai8"])
