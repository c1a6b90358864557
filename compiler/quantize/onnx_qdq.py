"""float ONNX + ranges -> integer ONNX: QuantizeLinear / DequantizeLinear around every operator, weights per channel."""

from collections.abc import Iterable, Mapping
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
        leave_unrounded(quantizer.model.model, kept)
        return _serialized(quantizer.model.model)


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
