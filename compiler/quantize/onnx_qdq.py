"""float ONNX + ranges -> integer ONNX: QuantizeLinear / DequantizeLinear around every operator, weights per channel."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import numpy as np

from compiler.observe.ranges import Range
from compiler.quantize.onnx_unrounded import leave_unrounded
from compiler.quiet import quiet

Codes = Literal["uint8", "int8", "int16"]


def quantize_onnx(
    content: bytes,
    ranges: Mapping[str, Range],
    *,
    activations: Codes,
    keep_float: Iterable[str] = (),
    only: Iterable[str] = (),
) -> bytes:
    """Quantize a simplified float model with given activation ranges.

    Args:
        content: an ONNX file as `compiler.passes.simplify` leaves it (opset 13 or later, shapes known).
        ranges: of every float activation by name; they hold zero.
        activations: uint8 beside int8 weights is 1.0-3.5 times as fast on x86 as int8 (measured, AVX512-VNNI); on ARM
            the int8 dot product wants both signed. int16 needs opset 21, which the file then gets; ONNX Runtime has
            no int16 kernels: it computes such operators in float on the rounded values.
        keep_float: nodes that are left alone.
        only: if given, no other node is quantized.

    Returns: the file's bytes; the same inputs give the same bytes. Weights are symmetric int8, one scale a channel,
    over the full range: a weight of 8 bits may saturate on x86 without VNNI, which the measured accuracy then shows.
    """
    with quiet():
        import onnx
        from onnxruntime.quantization import CalibrationMethod, QuantType
        from onnxruntime.quantization.calibrate import TensorsData
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
        from onnxruntime.quantization.quant_utils import update_opset_version
        from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

        kind = {"uint8": QuantType.QUInt8, "int8": QuantType.QInt8, "int16": QuantType.QInt16}[activations]
        model = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(content))
        model = update_opset_version(model, QuantType.QInt8, kind)
        kept = set(keep_float)
        seen = {name: tuple(np.array(end, np.float32) for end in span) for name, span in ranges.items()}
        quantizer = QDQQuantizer(
            model,
            True,  # per channel
            False,  # full range of the weights
            QuantType.QInt8,
            kind,
            TensorsData(CalibrationMethod.MinMax, seen),
            list(only),
            sorted(kept),
            sorted({*QDQRegistry, *QLinearOpsRegistry}),
            {"ActivationSymmetric": activations == "int16", "WeightSymmetric": True},
        )
        quantizer.quantize_model()
        open_ends(quantizer.model.model.graph)
        leave_unrounded(quantizer.model.model, kept)
        return _serialized(quantizer.model.model)


def open_ends(graph: Any) -> None:  # noqa: ANN401  an onnx.GraphProto
    """Gemm -> Quantize -> Dequantize -> output becomes Gemm -> output, in place; the same for MatMul.

    The output is float in any case, and both have an integer kernel that ends in float: rounding it to 8 bits costs
    6 dB where the rest is exact, and wins nothing (measured on a GRU's last layer). A convolution has no such kernel.
    """
    makers = {name: node for node in graph.node for name in node.output}
    readers = Counter(name for node in graph.node for name in node.input)
    for output in graph.output:
        chain = list(_upstream(output.name, makers))
        if [node.op_type for node in chain[:2]] != ["DequantizeLinear", "QuantizeLinear"] or len(chain) < 3:
            continue
        back, code, last = chain[:3]
        inner = readers[output.name] + (readers[code.output[0]] - 1) + (readers[code.input[0]] - 1)
        if last.op_type in {"Gemm", "MatMul"} and not inner:
            last.output[0] = output.name
            graph.node.remove(back)
            graph.node.remove(code)
    read = {name for node in graph.node for name in node.input}
    for unread in [one for one in graph.initializer if one.name not in read]:
        graph.initializer.remove(unread)


def _upstream(name: str, makers: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the node that makes a value, the one that makes its first input, and so on."""
    while name in makers:
        yield makers[name]
        name = makers[name].input[0] if makers[name].input else ""


def has_integers(content: bytes) -> bool:
    """Whether any activation is an integer."""
    import onnx

    return any(node.op_type == "QuantizeLinear" for node in onnx.load_model_from_string(content).graph.node)


def float_nodes(content: bytes) -> tuple[str, ...]:
    """Name the kinds of operators of a QDQ file that read no dequantized activation, sorted."""
    import onnx

    graph = onnx.load_model_from_string(content).graph
    passed = {name for node in graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    helpers = {"QuantizeLinear", "DequantizeLinear"}
    return tuple(
        sorted({n.op_type for n in graph.node if n.op_type not in helpers and not passed.intersection(n.input)})
    )


def _serialized(model: Any) -> bytes:  # noqa: ANN401  an onnx.ModelProto
    """Drop the quantizer's own marks and write the bytes in one fixed order."""
    del model.metadata_props[:]
    content: bytes = model.SerializeToString(deterministic=True)
    return content
