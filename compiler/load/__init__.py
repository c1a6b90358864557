"""Opens what a user calls a model: one file a format."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from compiler.load.source import SourceModel
from compiler.load.state import StatePair
from edge.errors import BadModelError, FileMissingError

__all__ = ["SourceModel", "load_model"]

_FUNCTION = re.compile(r"(?P<file>.+\.py):(?P<function>\w+)")


def load_model(spec: str, states: Sequence[StatePair] = ()) -> SourceModel:
    """Load `.pt2`, `.onnx`, `.tflite` or `file.py:function`; `states`: which outputs go back in at the next step.

    Raises: FileMissingError; BadModelError when it is not a model that can be compiled; MissingExtraError;
    BadArgumentError for a state that the model does not have.
    """
    if match := _FUNCTION.fullmatch(spec):
        from compiler.load.python_function import load_function

        return load_function(_existing(match["file"]), match["function"], states)
    path = _existing(spec)
    content = path.read_bytes()
    match path.suffix.lower():
        case ".onnx":
            from compiler.load.onnx_file import load_onnx

            return load_onnx(path, states)
        case ".tflite":
            from compiler.load.tflite_file import load_tflite

            if states:
                problem = f"{path.name}: a .tflite with a state is not compiled by this release"
                raise BadModelError(problem, remedy="give the network that it came from, as .pt2, .py or .onnx")
            return load_tflite(content, name=path.stem, sha256=hashlib.sha256(content).hexdigest())
        case ".pt2":
            from compiler.load.exported_program import load_exported_program

            return load_exported_program(path, sha256=hashlib.sha256(content).hexdigest(), states=states)
    raise _not_a_model(path, content)


def _existing(text: str) -> Path:
    path = Path(text).expanduser()
    if path.is_dir():
        raise BadModelError(f"{text} is a folder, not a model", remedy="name the model's file inside it")
    if not path.is_file():
        raise FileMissingError(f"no file {text}", remedy="check the path; it is relative to the current folder")
    return path


def _not_a_model(path: Path, content: bytes) -> BadModelError:
    """Say what the file seems to be instead, by its first bytes and its ending."""
    known = "give .pt2 (torch.export.save), .onnx, .tflite, or file.py:function"
    if path.suffix == ".py":
        return BadModelError(
            f"{path.name} is Python code, and which function makes the network was not said",
            remedy=f"name it: {path.name}:load, a function that returns (network, example input)",
        )
    if content[4:8] == b"TFL3":
        return BadModelError(f"{path.name} holds a TFLite model under another ending", remedy="rename it to .tflite")
    if path.suffix in {".pt", ".pth", ".th", ".ckpt", ".bin", ".pkl", ".safetensors"}:
        return BadModelError(
            f"{path.name} looks like PyTorch weights or a pickle: numbers without the network that uses them",
            remedy="write a file.py with a function that builds the network, loads these weights with "
            "torch.load(..., weights_only=True) and returns (network.eval(), example_input); pass file.py:function",
        )
    if path.suffix in {".h5", ".keras", ".pb"}:
        return BadModelError(
            f"{path.name} is a TensorFlow or Keras file", remedy="convert it with TensorFlow Lite and give the .tflite"
        )
    return BadModelError(f"{path.name} is not a model that we know", remedy=known)
