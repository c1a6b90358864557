"""float .tflite -> float .onnx, by tf2onnx in an environment of its own: it imports TensorFlow.

Others were tried and left: docs/compile.md has the table.
"""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from compiler.load.onnx_file import load_onnx
from compiler.load.source import SourceModel
from compiler.outside import call
from compiler.own_environment import make_environment
from edge.environments import TF2ONNX
from edge.errors import BadModelError

NOT_ASKED = f"ONNX of a .tflite needs {TF2ONNX.tool} in an environment of its own ({TF2ONNX.size}): --onnx-too makes it"
OPSET = "18"
"""The newest that tf2onnx 1.17.0 was tried with here; simplifying raises it to ours."""
TIMEOUT_S = 900
"""tf2onnx takes 13 to 23 s for networks of up to 4 MB on an idle machine, most of it to import TensorFlow."""


def with_onnx(model: SourceModel, progress: Callable[[str], None]) -> SourceModel:
    """Return a float TFLite source that also has the same network as ONNX; any other as it is.

    Whether both compute the same is held when the ONNX file is built (`compiler.parity.check_parity`).

    Raises: BadModelError with tf2onnx's own words; MissingExtraError.
    """
    if model.kind != "tflite" or model.quantized:
        return model
    return replace(model, kind="tflite-and-onnx", onnx=tflite_to_onnx(model.payload, progress))


def tflite_to_onnx(content: bytes, progress: Callable[[str], None]) -> bytes:
    """Convert, and simplify as an .onnx that was given is; the input keeps its layout.

    Raises: BadModelError; MissingExtraError.
    """
    python = make_environment(TF2ONNX, progress)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model.tflite").write_bytes(content)
        command = [str(python), "-m", "tf2onnx.convert", "--tflite", "model.tflite", "--output", "model.onnx"]
        said = call([*command, "--opset", OPSET], tool=TF2ONNX.tool, folder=folder, timeout_s=TIMEOUT_S)
        if said.code != 0 or not (folder / "model.onnx").exists():
            raise BadModelError(
                f"{TF2ONNX.tool} cannot convert this model: {said.last_line}", remedy="compile it without --onnx-too"
            )
        onnx: bytes = load_onnx(folder / "model.onnx").payload
        return onnx
