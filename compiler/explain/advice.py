"""What helps against each cause of a layer's error."""

from collections.abc import Mapping

from compiler.explain.cause import Cause

ADVICE: Mapping[Cause, str] = {
    "none": "it is good enough in int8",
    "unsupported operator": "it stays float: another operator would not",
    "saturation": "ranges that clip less (minmax), or more calibration samples with large values",
    "channel imbalance": "equalize, or keep it in float",
    "range": "ranges that clip (percentile, mse), or keep it in float",
    "weights": "correct-bias or learn-rounding, or keep it in float",
}
"""In the words of a plan."""
