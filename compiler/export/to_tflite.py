"""torch network -> float TFLite file."""

from compiler.export.to_onnx import explain_failure
from compiler.load.source import SourceModel
from compiler.quiet import quiet
from edge.errors import MissingExtraError


def export_tflite(model: SourceModel) -> bytes:
    """Convert the network with litert-torch; the input keeps the network's own layout.

    Raises: BadModelError naming the operator that TFLite lacks; MissingExtraError.
    """
    import torch

    try:
        with quiet():
            import litert_torch
    except ImportError as exc:
        raise MissingExtraError("litert-torch is not installed", remedy="pip install 'edgewright[tflite]'") from exc
    try:
        with quiet():
            converted = litert_torch.convert(model.payload, (torch.zeros(model.input_shape),))
            return bytes(converted.model_content())
    except Exception as exc:  # the converter raises errors of torch, jax and MLIR
        raise explain_failure(exc, "TFLite") from exc
