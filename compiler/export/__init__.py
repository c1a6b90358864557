"""A loaded source becomes files that a device's runtime opens: one table row a file format."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compiler.export import onnx_format, tflite_format
from compiler.export.ends import Ends
from compiler.load.source import SourceModel
from compiler.observe import Observations
from compiler.observe.ranges import Range
from compiler.plan import Format, Plan
from compiler.quantize.kernels import Kernel
from compiler.quantize.layers import Constants, Network

Tensors = Mapping[str, NDArray[np.float32]]
Samples = Iterable[NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class FileFormat:
    """The verbs of a format."""

    export: Callable[[SourceModel], bytes]
    """Source -> float file."""
    prepare: Callable[[bytes], bytes]
    """Float file -> the float file that quantization starts from."""
    read_network: Callable[[bytes], Network]
    """Prepared file -> its layers and constants."""
    read_kernels: Callable[[bytes], tuple[Kernel, ...]]
    """Prepared file -> those of its layers whose weights can be learned."""
    write_constants: Callable[[bytes, Constants], bytes]
    """Prepared file, other constants -> prepared file."""
    observe: Callable[[bytes, Samples], Observations]
    """Run samples through a prepared file."""
    run: Callable[[bytes, Samples], Iterator[Tensors]]
    """Yield every activation of any file, as real values, for each sample."""
    quantize: Callable[[bytes, Mapping[str, Range], Plan], bytes]
    """Prepared file, ranges -> integer file."""
    quantize_one: Callable[[bytes, Mapping[str, Range], str], bytes]
    """Prepared file, ranges, a layer -> a file in which that layer alone is int8."""
    has_integers: Callable[[bytes], bool]
    """Whether any activation of a file is an integer."""
    float_kinds: Callable[[bytes], tuple[str, ...]]
    """Kinds of operators that compute in float in an integer file."""
    shrink: Callable[[bytes, Plan], bytes]
    """Prepared file -> one with smaller weights that computes in float."""
    describe: Callable[[bytes], Ends]
    """File -> its input, outputs and states."""
    note: Callable[[bytes, Plan], str]
    """Compiled file -> a few words for people."""


FORMATS: Mapping[Format, FileFormat] = {
    "onnx": FileFormat(
        export=onnx_format.export,
        prepare=onnx_format.prepare,
        read_network=onnx_format.read_network,
        read_kernels=onnx_format.read_kernels,
        write_constants=onnx_format.write_constants,
        observe=onnx_format.observe_onnx,
        run=onnx_format.run_onnx,
        quantize=onnx_format.quantize,
        quantize_one=onnx_format.quantize_one,
        has_integers=onnx_format.has_integers,
        float_kinds=onnx_format.float_nodes,
        shrink=onnx_format.shrink,
        describe=onnx_format.describe,
        note=onnx_format.note,
    ),
    "tflite": FileFormat(
        export=tflite_format.export,
        prepare=tflite_format.prepare,
        read_network=tflite_format.read_network,
        read_kernels=tflite_format.read_kernels,
        write_constants=tflite_format.write_constants,
        observe=tflite_format.observe_tflite,
        run=tflite_format.run_tflite,
        quantize=tflite_format.quantize,
        quantize_one=tflite_format.quantize_one,
        has_integers=tflite_format.has_integers,
        float_kinds=tflite_format.float_operators,
        shrink=tflite_format.shrink,
        describe=tflite_format.describe,
        note=tflite_format.note,
    ),
}
