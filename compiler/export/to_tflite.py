"""torch network or ONNX file -> float TFLite file."""

from typing import Any

from compiler.export.to_onnx import explain_failure
from compiler.load.source import SourceModel
from compiler.quiet import quiet
from edge.errors import MissingExtraError


def export_tflite(model: SourceModel, *, channels_last: bool = False) -> bytes:
    """Convert the network with litert-torch; the input keeps the network's own layout, or becomes channels-last.

    Raises: BadModelError naming the operator that TFLite or our importer lacks; MissingExtraError.
    """
    import torch

    if model.kind == "onnx":
        from compiler.importer import import_onnx

        network = import_onnx(model.payload)
    else:
        network = model.payload
    example = tuple(torch.zeros(shape) for shape in (model.input_shape, *model.state))
    return convert(network, example, channels_last=channels_last)


def convert(network: Any, example: tuple[Any, ...], *, channels_last: bool = False) -> bytes:  # noqa: ANN401
    """Convert a torch module.

    Args:
        network: a torch.nn.Module in eval mode.
        example: one tensor an input, batch included, in the network's own layout.
        channels_last: the file takes its first input as [N, ..., C] instead of [N, C, ...].

    Raises: BadModelError; MissingExtraError.
    """
    try:
        with quiet():
            import litert_torch
    except ImportError as exc:
        raise MissingExtraError("litert-torch is not installed", remedy="pip install 'edgewright[tflite]'") from exc
    try:
        with quiet():
            if channels_last:
                network = litert_torch.to_channel_last_io(network, args=[0])
                example = (example[0].movedim(1, -1), *example[1:])
            return bytes(litert_torch.convert(network, example).model_content())
    except Exception as exc:  # the converter raises errors of torch, jax and MLIR
        raise explain_failure(exc, "TFLite") from exc
