"""Signal to quantization noise: how large the float outputs are against what compiling changed in them."""

from math import inf, log10

import numpy as np

from compiler.metrics.metric import Values


def sqnr_db(before: Values, after: Values) -> float:
    """10 log10(sum before^2 / sum (before - after)^2), in decibels; infinite if nothing changed."""
    signal = float((before.astype(np.float64) ** 2).sum())
    noise = float(((before.astype(np.float64) - after) ** 2).sum())
    if noise == 0:
        return inf
    return 10 * log10(signal / noise) if signal > 0 else -inf
