"""How many multiplications an operator costs; of the shapes alone."""

from math import prod

from compiler.placement.tflite_graph import Operator

_DENSE = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL")


def tflite_macs(op: Operator) -> int | None:
    """Multiply-accumulates of one inference; 0 for an operator that has no weights, None where shapes are open.

    Source: TensorFlow Lite's filters: OHWI (CONV_2D), 1HWO (DEPTHWISE_CONV_2D), [out, in] (FULLY_CONNECTED).
    """
    if op.kind not in _DENSE:
        return 0
    shapes = [tensor.shape for tensor in (*op.inputs, *op.outputs)]
    if len(shapes) < 3 or any(size < 1 for shape in shapes for size in shape):
        return None
    out = prod(op.outputs[0].shape)
    if op.kind == "CONV_2D":
        return out * prod(op.inputs[1].shape[1:])
    if op.kind == "DEPTHWISE_CONV_2D":
        return out * prod(op.inputs[1].shape[1:3])
    if op.kind == "TRANSPOSE_CONV":  # inputs: output shape, filter OHWI, data
        return prod(op.inputs[2].shape) * prod(op.inputs[1].shape[:3])
    return out * op.inputs[0 if op.kind == "BATCH_MATMUL" else 1].shape[-1]
