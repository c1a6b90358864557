"""Known slow paths and traps of a compiled file on one target, each with the figure that makes it one."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from compiler.placement.tflite_graph import Graph, Operator, read_graph
from edge.manifest import RuntimeName
from edge.target import Target

Code = Literal[
    "LEGACY_UINT8",
    "PER_TENSOR_WEIGHTS",
    "DYNAMIC_RANGE",
    "INT16_RECURRENT",
    "MEAN_NCHW",
    "CONCAT_RANGES",
    "SIGNED_ACTIVATIONS",
]
_WEIGHTED = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"}
_INTEGERS = {"int8", "uint8", "int16"}
LOST_FACTOR = 8.0
"""A value on an 8 times coarser scale has lost 3 of its 8 bits."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One trap that a file walks into."""

    code: Code
    sentence: str
    remedy: str
    operators: tuple[str, ...]
    """Names of those concerned, in the file's order."""


def lint_tflite(content: bytes, target: Target, runtime: RuntimeName) -> tuple[Finding, ...]:
    """Look for every known trap of a .tflite file.

    Raises: BadModelError; MissingExtraError.
    """
    graph = read_graph(content)
    found = (rule(graph, target, runtime) for rule in _RULES)
    return tuple(finding for finding in found if finding is not None)


def lint_onnx(content: bytes, target: Target) -> tuple[Finding, ...]:
    """Look for int8 activations on x86, where onnxruntime has fast kernels for uint8 ones.

    Raises: BadModelError; MissingExtraError.
    """
    from compiler.placement.from_onnx import read_onnx

    if not target.arch.startswith("x86"):
        return ()
    rows = read_onnx(content, target).rows
    signed = tuple(row.name for row in rows if row.operator in {"Conv", "Gemm", "MatMul"} and row.dtype == "int8")
    if not signed:
        return ()
    return (
        Finding(
            "SIGNED_ACTIVATIONS",
            f"{len(signed)} operators have int8 activations: on x86 onnxruntime is slower with them than in float "
            "on small networks (measured, AVX512-VNNI, MobileNetV2 at 48 px: float 108 us, S8S8 192, U8S8 106)",
            "quantize activations to uint8 for x86 (U8S8)",
            signed,
        ),
    )


def _legacy_uint8(graph: Graph, target: Target, _runtime: RuntimeName) -> Finding | None:
    slow = [op for op in graph.operators if op.kind in _WEIGHTED and _weights(op, "uint8", per_tensor=True)]
    if target.arch != "aarch64" or not slow:
        return None
    return Finding(
        "LEGACY_UINT8",
        f"{len(slow)} operators have uint8 weights on one scale, a form from before 2020, for which no kernel uses "
        "ARM's dot product (counted: MobileNetV2 needs 132 million instructions on a Cortex-A76 as on an A72; a "
        "per-channel int8 network falls from 54 to 23)",
        "convert the float model anew, to int8 with one scale a channel",
        _names(slow),
    )


def _per_tensor(graph: Graph, _target: Target, _runtime: RuntimeName) -> Finding | None:
    coarse = [op for op in graph.operators if op.kind in _CONVOLUTIONS and _weights(op, "int8", per_tensor=True)]
    if not coarse:
        return None
    return Finding(
        "PER_TENSOR_WEIGHTS",
        f"{len(coarse)} convolutions share one scale among all channels: those with small weights lose their bits "
        "(measured on a keyword net with unequal channels: accuracy .128, with one scale a channel .975)",
        "quantize weights per channel",
        _names(coarse),
    )


def _dynamic_range(graph: Graph, _target: Target, runtime: RuntimeName) -> Finding | None:
    hybrid = [op for op in graph.operators if op.kind in _WEIGHTED and _is_hybrid(op)]
    if runtime != "tflite-runtime" or not hybrid:
        return None
    return Finding(
        "DYNAMIC_RANGE",
        f"{len(hybrid)} operators have int8 weights and float activations: tflite-runtime 2.14 computes them wrongly "
        "and says nothing (measured: accuracy .997 becomes .100)",
        "quantize to full int8, keep the weights float, or run it on LiteRT",
        _names(hybrid),
    )


def _int16_recurrent(graph: Graph, _target: Target, runtime: RuntimeName) -> Finding | None:
    wide = [op for op in graph.operators if any(one.dtype == "int16" for one in op.outputs)]
    kinds = {op.kind for op in wide}
    recurrent = "UNIDIRECTIONAL_SEQUENCE_LSTM" in kinds or {"LOGISTIC", "TANH", "MUL"} <= kinds
    if runtime != "tflite-runtime" or not recurrent:
        return None
    return Finding(
        "INT16_RECURRENT",
        "a GRU or LSTM with int16 activations: tflite-runtime 2.14 computes it wrongly and says nothing (measured)",
        "quantize it to full int8, keep it float, or run it on LiteRT",
        _names(op for op in wide if op.kind in {"UNIDIRECTIONAL_SEQUENCE_LSTM", "LOGISTIC", "TANH"}),
    )


def _mean_nchw(graph: Graph, target: Target, _runtime: RuntimeName) -> Finding | None:
    turned = {op.outputs[0].index for op in graph.operators if op.kind == "TRANSPOSE"}
    means = [op for op in graph.operators if op.kind == "MEAN" and op.inputs[0].index in turned and _is_nchw(op)]
    if target.npu_compiler != "vela" or not means:
        return None
    return Finding(
        "MEAN_NCHW",
        f"{len(means)} MEAN over height and width of an NCHW picture: Vela 5.2 leaves it to the CPU, and its transpose "
        "is the slowest part (Vela's estimate for MobileNetV2 on an Ethos-U85-256: 21.8 million cycles, .5 without)",
        "let `compiler.placement.place` rewrite it, or average-pool in the network",
        _names(means),
    )


def _concat_ranges(graph: Graph, _target: Target, _runtime: RuntimeName) -> Finding | None:
    rescaled = {op.outputs[0].index: op.inputs[0] for op in graph.operators if op.kind == "QUANTIZE"}
    coarse = []
    for op in graph.operators:
        if op.kind != "CONCATENATION" or op.outputs[0].dtype not in _INTEGERS:
            continue
        parts = [rescaled.get(one.index, one) for one in op.inputs]
        scales = [one.scales[0] for one in parts if one.dtype in _INTEGERS and one.scales]
        if scales and op.outputs[0].scales and op.outputs[0].scales[0] > LOST_FACTOR * min(scales):
            coarse.append(op)
    if not coarse:
        return None
    return Finding(
        "CONCAT_RANGES",
        f"{len(coarse)} concatenations join integers whose ranges differ over {LOST_FACTOR:g} times: the small ones "
        "lose their bits (ultralytics issue 13566: boxes and scores in one int8 tensor, and every score is 0)",
        "give each range an output of its own, or keep the concatenation in float",
        _names(coarse),
    )


_CONVOLUTIONS = _WEIGHTED - {"FULLY_CONNECTED"}
_RULES: tuple[Callable[[Graph, Target, RuntimeName], Finding | None], ...] = (
    _legacy_uint8,
    _per_tensor,
    _dynamic_range,
    _int16_recurrent,
    _mean_nchw,
    _concat_ranges,
)


def _weights(op: Operator, dtype: str, *, per_tensor: bool) -> bool:
    """Whether its weights are constants of this type, on one scale though there are several channels."""
    weights = [one for one in op.inputs if one.constant and one.dtype == dtype and len(one.shape) > 1]
    return any((len(one.scales) == 1) == per_tensor and max(one.shape[0], one.shape[-1]) > 1 for one in weights)


def _is_hybrid(op: Operator) -> bool:
    small = any(one.constant and one.dtype == "int8" and one.scales for one in op.inputs)
    return small and op.outputs[0].dtype == "float32"


def _is_nchw(op: Operator) -> bool:
    """[1, channels, height, width] -> [1, channels] or [1, channels, 1, 1]."""
    before, after = op.inputs[0].shape, op.outputs[0].shape
    return len(before) == 4 and after[:2] == before[:2] and after[2:] in {(), (1, 1)}


def _names(operators: Iterable[Operator]) -> tuple[str, ...]:
    return tuple(op.name for op in operators)
