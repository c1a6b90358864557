"""`python peer_onnxruntime.py FLOAT CALIBRATE SETTING OUT`: onnxruntime's quantize_static, in its own environment.

default: as the function's signature has it. best: its documentation's advice for x86-64 with VNNI: pre-processing
(shape inference, optimization), QDQ, uint8 activations and int8 weights per channel.
Source: onnxruntime.ai/docs/performance/model-optimizations/quantization.html
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process


class Reader(CalibrationDataReader):
    """One sample after the other."""

    def __init__(self, name: str, x: np.ndarray) -> None:
        self._samples = ({name: one[None]} for one in x)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next sample."""
        return next(self._samples, None)


def main(source: str, calibrate: str, setting: str, out: str) -> None:
    """Quantize."""
    name = onnx.load(source).graph.input[0].name
    reader = Reader(name, np.load(calibrate))
    if setting == "default":
        quantize_static(source, out, reader)
        return
    ready = str(Path(out).with_suffix(".pre.onnx"))
    quant_pre_process(source, ready)
    quantize_static(
        ready,
        out,
        reader,
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


if __name__ == "__main__":
    main(*sys.argv[1:5])
