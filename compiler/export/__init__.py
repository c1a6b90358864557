"""A loaded source becomes files that a device's runtime opens: one table row a file format."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from compiler.export import onnx_format, tflite_format
from compiler.load.source import SourceModel
from edge.manifest import TensorSpec

if TYPE_CHECKING:
    from edge.target import Target

Samples = Callable[[], Iterator[NDArray[np.float32]]]
Specs = tuple[TensorSpec, tuple[TensorSpec, ...]]


@dataclass(frozen=True, slots=True)
class FileFormat:
    """The three verbs of a format."""

    export: Callable[[SourceModel], bytes]
    """Source -> float file."""
    quantize: Callable[[bytes, Samples, "Target"], tuple[bytes, str]]
    """Float file -> int8 file, and a note for people."""
    describe: Callable[[bytes], Specs]
    """File -> its input and outputs."""


FORMATS: Mapping[str, FileFormat] = {
    "onnx": FileFormat(onnx_format.export, onnx_format.quantize, onnx_format.describe),
    "tflite": FileFormat(tflite_format.export, tflite_format.quantize, tflite_format.describe),
}
