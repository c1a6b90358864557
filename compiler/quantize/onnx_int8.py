"""float ONNX -> int8 ONNX: QuantizeLinear / DequantizeLinear around every operator, weights per channel."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compiler.quiet import quiet


def quantize_onnx(
    content: bytes, *, input_name: str, samples: Iterator[NDArray[np.float32]], unsigned_activations: bool
) -> bytes:
    """Quantize a simplified float model with the smallest and largest values seen on `samples`.

    Args:
        content: an ONNX file as `compiler.passes.simplify` leaves it (opset 13 or later, shapes known).
        input_name: of its one input.
        samples: real inputs of the model's shape.
        unsigned_activations: uint8 activations beside int8 weights. On x86 U8S8 is 1.0-3.5 times as fast as S8S8
            (measured, AVX512-VNNI); on ARM the int8 dot product wants both signed.

    Returns: the file's bytes; the same inputs give the same bytes. Weights are symmetric int8, one scale a channel,
    over the full range: a weight of 8 bits may saturate on x86 without VNNI, which the measured accuracy then shows.
    """
    with tempfile.TemporaryDirectory() as folder, quiet():
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

        source, target = Path(folder, "float.onnx"), Path(folder, "int8.onnx")
        source.write_bytes(content)
        quantize_static(
            source,
            target,
            _Reader(input_name, samples),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=False,
            activation_type=QuantType.QUInt8 if unsigned_activations else QuantType.QInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={"ActivationSymmetric": False, "WeightSymmetric": True},
        )
        return target.read_bytes()


class _Reader:
    """What ONNX Runtime calls a CalibrationDataReader."""

    def __init__(self, name: str, samples: Iterator[NDArray[np.float32]]) -> None:
        self._name, self._samples = name, samples

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Return one feed, or None at the end."""
        sample = next(self._samples, None)
        return None if sample is None else {self._name: np.ascontiguousarray(sample, np.float32)}

    def __iter__(self) -> "_Reader":
        return self

    def __next__(self) -> dict[str, NDArray[np.float32]]:
        feed = self.get_next()
        if feed is None:
            raise StopIteration
        return feed
