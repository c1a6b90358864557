"""`python peer_nncf.py FLOAT CALIBRATE SETTING OUT`: NNCF on ONNX, in its own environment.

default: `nncf.quantize(model, dataset)`. best: the MIXED preset (asymmetric activations), accurate bias correction, all
calibration samples, and no fix for the overflow that only CPUs without VNNI have.
Source: docs.openvino.ai, "Basic Quantization Flow".
"""

import sys

import nncf
import numpy as np
import onnx


def main(source: str, calibrate: str, setting: str, out: str) -> None:
    """Quantize."""
    model, x = onnx.load(source), np.load(calibrate)
    name = model.graph.input[0].name
    dataset = nncf.Dataset([{name: one[None]} for one in x])
    if setting == "default":
        quantized = nncf.quantize(model, dataset)
    else:
        quantized = nncf.quantize(
            model,
            dataset,
            preset=nncf.QuantizationPreset.MIXED,
            fast_bias_correction=False,
            subset_size=len(x),
            advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.DISABLE),
        )
    onnx.save(quantized, out)


if __name__ == "__main__":
    main(*sys.argv[1:5])
