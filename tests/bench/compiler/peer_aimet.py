"""`python peer_aimet.py FLOAT CALIBRATE SETTING OUT`: AIMET on ONNX, in its own environment.

default: QuantizationSimModel with int8 weights and activations, min/max ranges. best: its documentation's first advice:
cross-layer equalization, then SQNR-optimal ranges (`tf_enhanced`).
Source: quic.github.io/aimet-pages, "Quantization workflow". Exported as QDQ, so that onnxruntime computes in int8.
"""

import sys

import numpy as np
import onnx
from aimet_common.defs import QuantScheme
from aimet_onnx.cross_layer_equalization import equalize_model
from aimet_onnx.quantsim import QuantizationSimModel


def main(source: str, calibrate: str, setting: str, out: str) -> None:
    """Simulate, set ranges, export."""
    model, x = onnx.load(source), np.load(calibrate)
    name = model.graph.input[0].name
    scheme = QuantScheme.min_max
    if setting == "best":
        equalize_model(model)
        scheme = QuantScheme.post_training_tf_enhanced
    simulated = QuantizationSimModel(model, quant_scheme=scheme, providers=["CPUExecutionProvider"])
    simulated.compute_encodings([{name: one[None]} for one in x])
    onnx.save(simulated.to_onnx_qdq(), out)


if __name__ == "__main__":
    main(*sys.argv[1:5])
