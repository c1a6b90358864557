"""A model file -> Work. What cannot be read is None: then nobody predicts anything."""

from compiler.latency.work import Work
from edge.manifest import Variant


def read_work(content: bytes, variant: Variant) -> Work | None:
    """Count the work of one inference of `content`, or None where its operators or shapes are not known ahead."""
    if variant.runtime == "onnxruntime":
        from compiler.latency.onnx_work import read_onnx

        return read_onnx(content)
    from compiler.latency.tflite_work import read_tflite

    return read_tflite(content)
