"""Figures of one layer -> the likely cause of its error, in words. Pure."""

from typing import Literal

Cause = Literal["none", "unsupported operator", "saturation", "channel imbalance", "range", "weights"]

GOOD_DB = 30.0
"""A layer that keeps this much needs no cause. Rounding values that fill their range to 8 bits keeps about 40."""
SATURATED = 0.001
"""Share of values at the outermost codes; min/max ranges leave fewer unless a few values are clipped on purpose."""
IMBALANCED = 50.0
"""Largest over median channel range: the median channel then has five of the 255 steps."""
NARROW = 0.1
"""Root mean square over the reach of the range: below it, most values use fewer than 25 of 255 steps."""


def classify(*, sqnr_db: float, is_float: bool, saturated: float, imbalance: float, fill: float) -> Cause:
    """Name the likely cause of a layer's error, the surest sign first.

    Args:
        sqnr_db: of the model's output with this layer alone in int8; of its own output where it is never int8 alone.
        is_float: operators of this kind compute in float in the integer model.
        saturated: share of its output values at the lowest or highest code (zero of a ReLU does not count).
        imbalance: largest over median channel range of the output, the input or the weights, whichever is largest.
        fill: root mean square of the output over the largest magnitude that its codes can say.
    """
    if is_float:
        return "unsupported operator"
    if sqnr_db >= GOOD_DB:
        return "none"
    if saturated > SATURATED:
        return "saturation"
    if imbalance > IMBALANCED:
        return "channel imbalance"
    return "range" if fill < NARROW else "weights"
