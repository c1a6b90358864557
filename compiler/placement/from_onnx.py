"""An .onnx file -> ledger: which nodes compute in integers, which in float, and why.

In the QDQ form, which our quantizer writes, a runtime computes a node in integers where every data input comes out of a
DequantizeLinear and every output goes into a QuantizeLinear. In the operator form the name says it (QLinearConv).
"""

from collections import defaultdict
from collections.abc import Set as AbstractSet
from functools import cache
from math import prod
from typing import Any

from compiler.placement.ledger import Cause, Ledger, Row
from compiler.quiet import quiet
from edge.errors import BadModelError, MissingExtraError
from edge.target import Target

_INTEGER_NODES = ("QLinear", "QGemm", "ConvInteger", "MatMulInteger", "DynamicQuantize")
Why = tuple[Cause, str]
_EMULATED: Why = "planned", "onnxruntime has no 16-bit kernels: it computes in float on values rounded to 16 bits"


def read_onnx(content: bytes, target: Target, *, kept_float: AbstractSet[str] = frozenset()) -> Ledger:
    """Say of every node in which type a CPU computes it, and why.

    Args:
        content: the file, float or quantized.
        target: gives the ledger its name.
        kept_float: nodes (by operator or by name) that the recipe keeps in float.

    Raises: BadModelError; MissingExtraError.
    """
    model = _load(content)
    graph = _Nodes(model.graph)
    whole = not any(graph.in_integers(node) for node in graph.nodes if not _is_border(node))
    rows = []
    for index, node in enumerate(graph.nodes):
        if _is_border(node):
            dtype, (cause, reason) = graph.border_dtype(node), graph.why_border(node)
        else:
            dtype, (cause, reason) = graph.dtype(node), _why(graph, node, whole, kept_float)
        rows.append(
            Row(index, node.op_type, node.name or node.output[0], "cpu", dtype, cause, reason, graph.macs(node))
        )
    return Ledger(target.name, tuple(rows))


def _load(content: bytes) -> Any:  # noqa: ANN401  an onnx.ModelProto with inferred shapes
    try:
        with quiet():
            import onnx
    except ImportError as exc:
        raise MissingExtraError("onnx is not installed", remedy="pip install 'edgewright[compiler]'") from exc
    try:
        return onnx.shape_inference.infer_shapes(onnx.load_model_from_string(content))
    except Exception as exc:  # protobuf and the shape inference raise types of their own
        problem = f"this ONNX file cannot be read: {type(exc).__name__}: {str(exc).splitlines()[0] if str(exc) else ''}"
        raise BadModelError(problem, remedy="export the model anew; the file may be truncated") from exc


def _is_border(node: Any) -> bool:  # noqa: ANN401
    return node.op_type in {"QuantizeLinear", "DequantizeLinear"}


def _why(graph: "_Nodes", node: Any, whole: bool, kept_float: AbstractSet[str]) -> Why:  # noqa: ANN401
    if not graph.is_float(node):
        return "wanted", "computes shapes or indices"
    if graph.in_integers(node):
        return _EMULATED if graph.is_emulated(node) else ("wanted", "computes in integers")
    if whole:
        return "planned", "the variant is float"
    if kept_float & {node.op_type, node.name}:
        return "planned", "kept in float by the recipe"
    if node.op_type not in _int8_kinds():
        return "refused", f"onnxruntime's quantizer has no int8 for {node.op_type}"
    return "unknown", f"computes in float though {node.op_type} can be quantized"


class _Nodes:
    """Nodes, who makes a value, who reads it, and of which type and shape it is."""

    def __init__(self, graph: Any) -> None:  # noqa: ANN401
        self.nodes = list(graph.node)
        self._inputs = {one.name for one in graph.input}
        self._outputs = {one.name for one in graph.output}
        self._constants = {one.name: one for one in graph.initializer}
        self._maker = {name: node for node in self.nodes for name in node.output}
        self._readers: dict[str, list[Any]] = defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                self._readers[name].append(node)
        self._types = {one.name: one.type.tensor_type for one in (*graph.value_info, *graph.input, *graph.output)}

    def in_integers(self, node: Any) -> bool:  # noqa: ANN401
        """Whether a runtime computes it in integers."""
        if node.op_type.startswith(_INTEGER_NODES):
            return True
        data = [name for name in node.input if name and name in self._maker]
        makers = [self._maker[name].op_type == "DequantizeLinear" for name in data]
        readers = [reader.op_type == "QuantizeLinear" for name in node.output for reader in self._readers[name]]
        return bool(makers) and all(makers) and bool(readers) and all(readers)

    def is_float(self, node: Any) -> bool:  # noqa: ANN401
        """Whether its first output holds real numbers; assumed where the shape inference does not know."""
        return self._dtype(node.output[0]) in {"float32", "float16", "unknown"}

    def dtype(self, node: Any) -> str:  # noqa: ANN401
        """What it computes in."""
        if not self.in_integers(node) or not self.is_float(node):
            found = self._dtype(node.output[0])
            return "float32" if found == "unknown" else found
        return "float32" if self.is_emulated(node) else self._integer(node)

    def is_emulated(self, node: Any) -> bool:  # noqa: ANN401
        """Whether it is written in 16-bit integers, for which onnxruntime's CPU kernels are float ones."""
        return self.in_integers(node) and self.is_float(node) and self._integer(node) in {"int16", "uint16"}

    def _integer(self, node: Any) -> str:  # noqa: ANN401
        """Type of the integers that its first computed input comes from."""
        return next(
            (self._dtype(self._maker[name].input[0]) for name in node.input if name in self._maker),
            self._dtype(node.output[0]),
        )

    def border_dtype(self, node: Any) -> str:  # noqa: ANN401
        """Both sides of a QuantizeLinear or DequantizeLinear; its zero point has the type of the integers."""
        integer = self._dtype(node.input[2]) if len(node.input) > 2 else "uint8"
        return f"float32 to {integer}" if node.op_type == "QuantizeLinear" else f"{integer} to float32"

    def why_border(self, node: Any) -> Why:  # noqa: ANN401
        """Why a conversion is there."""
        if node.input[0] in self._constants:
            return "wanted", "weights kept in integers"
        if node.input[0] in self._inputs:
            return "conversion", "the input is float"
        if node.output[0] in self._outputs:
            return "conversion", "the output is float"
        beyond = [*self._readers[node.output[0]]]
        beyond += [self._maker[node.input[0]]] if node.input[0] in self._maker else []
        in_float = sorted({one.op_type for one in beyond if not _is_border(one) and not self.in_integers(one)})
        if in_float:
            return "conversion", f"border to what computes in float: {', '.join(in_float)}"
        return "wanted", "fused into the node beside it"

    def macs(self, node: Any) -> int | None:  # noqa: ANN401
        """Multiply-accumulates of a Conv, Gemm or MatMul; 0 for others, None where shapes are open."""
        if node.op_type not in {"Conv", "Gemm", "MatMul"}:
            return 0
        out, weight = self._shape(node.output[0]), self._shape(node.input[1])
        if out is None or weight is None:
            return None
        if node.op_type == "Conv":  # weight: [out, in / group, *kernel]
            return prod(out) * prod(weight[1:])
        transposed = any(one.name == "transB" and one.i for one in node.attribute)
        return prod(out) * (weight[-1] if transposed else weight[-2] if len(weight) > 1 else weight[0])

    def _dtype(self, name: str) -> str:
        import onnx

        number = self._constants[name].data_type if name in self._constants else 0
        number = number or (self._types[name].elem_type if name in self._types else 0)
        return onnx.helper.tensor_dtype_to_np_dtype(number).name if number else "unknown"

    def _shape(self, name: str) -> tuple[int, ...] | None:
        if name in self._constants:
            return tuple(self._constants[name].dims)
        if name not in self._types or not self._types[name].HasField("shape"):
            return None
        sizes = tuple(int(size.dim_value) for size in self._types[name].shape.dim)
        return sizes if all(size > 0 for size in sizes) else None


@cache
def _int8_kinds() -> frozenset[str]:
    """Return what onnxruntime's static quantizer knows."""
    with quiet():
        from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry
    return frozenset(QDQRegistry) | frozenset(QLinearOpsRegistry)
