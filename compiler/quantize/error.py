"""How much of a signal quantization leaves."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

CEILING_DB = 150.0
"""Beyond float32's own rounding (24 bits: 144 dB) there is nothing to tell apart."""


def mean_sqnr_db(pairs: Iterable[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> float:
    """Mean of each sample's own SQNR, decibels: one sample that goes wrong does not outweigh all others.

    Args:
        pairs: (exact, quantized) arrays of the same shape, one pair a sample; at least one.
    """
    return float(np.mean([sqnr_db([pair]) for pair in pairs]))


def sqnr_db(pairs: Iterable[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> float:
    """Signal-to-quantization-noise ratio over all samples, decibels: 10 log10(sum x^2 / sum (x - q)^2).

    Args:
        pairs: (exact, quantized) arrays of the same shape, one pair a sample.

    Returns: at most CEILING_DB; -CEILING_DB if a found value is not finite where the exact one is, or if there is noise
    and no signal. Exact values that are infinite are left out: they are marks, such as padding before a max pool.
    """
    signal = noise = 0.0
    for exact, found in pairs:
        there = np.isfinite(exact)
        real, quantized = exact[there].astype(np.float64), found[there].astype(np.float64)
        signal += float((real**2).sum())
        noise += float(((real - quantized) ** 2).sum())
    if not np.isfinite(noise):
        return -CEILING_DB
    if noise == 0:
        return CEILING_DB
    ratio = 10 * np.log10(max(signal, 1e-300) / noise)
    return float(np.clip(ratio, -CEILING_DB, CEILING_DB))
