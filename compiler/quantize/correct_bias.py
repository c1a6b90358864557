"""bias -> bias + E[W x] - E[Wq x]: take the mean error out that rounding the weights brings in.

Rounding moves each output channel by (W - Wq) x. Over the calibration samples its mean is (W - Wq) E[x], a constant
that the bias can carry. Source: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias
Correction", section 4.2; here E[x] is measured, one number an input channel (padding at the rim is neglected).
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from compiler.quantize.layers import Constants, Layer, Network, along, fake_quantize


def correct_bias(
    network: Network, channel_mean: Mapping[str, NDArray[np.float64]]
) -> tuple[Constants, tuple[str, ...]]:
    """Return all constants with corrected biases, and a sentence for each layer that keeps its own.

    Args:
        network: its constants are not changed.
        channel_mean: [channels] of each activation, its mean over samples and positions.
    """
    constants = dict(network.constants)
    refused = []
    for layer in network.layers:
        if layer.role not in {"linear", "depthwise"}:
            continue
        why = _why_not(layer, network, channel_mean)
        if why:
            refused.append(f"{layer.name}: {why}")
            continue
        shift = _mean_error(network.constants[layer.weight], layer, channel_mean[layer.inputs[0]])
        bias = network.constants[layer.bias]
        constants[layer.bias] = (bias + shift.reshape(bias.shape)).astype(np.float32)
    return constants, tuple(refused)


def _why_not(layer: Layer, network: Network, channel_mean: Mapping[str, NDArray[np.float64]]) -> str:
    if not layer.bias:
        return "it has no bias"
    mean = channel_mean.get(layer.inputs[0])
    if (
        mean is None
        or layer.inputs[0] in network.moved
        or len(mean) != network.constants[layer.weight].shape[layer.in_axis]
    ):
        return "no mean was measured for each of its input channels"
    return ""


def _mean_error(weight: NDArray[np.float32], layer: Layer, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """(W - Wq) E[x], [output channels]."""
    error = (weight.astype(np.float64) - fake_quantize(weight, layer.out_axis)) * along(
        mean, layer.in_axis, weight.ndim
    )
    shift: NDArray[np.float64] = (
        np.moveaxis(error, layer.out_axis, 0).reshape(weight.shape[layer.out_axis], -1).sum(axis=1)
    )
    return shift
