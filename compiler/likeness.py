"""Do the calibration samples look like those that the model is judged by? Ranges set on other data clip or waste."""

from math import exp, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from compiler.inputs import InputStatistics

SHIFT = 0.5
"""Of a standard deviation, between the two means of a channel. Source: J. Cohen, "Statistical Power Analysis for the
Behavioral Sciences", 1988: 0.5 is a medium effect, visible to the naked eye."""
SPREAD = 1.5
"""Between the two standard deviations of a channel: half a bit of an int8 range."""
CHANCE = 0.001
"""Of a warning where nothing is different, over all channels together (Bonferroni's correction)."""


def judge_likeness(calibration: InputStatistics, evaluation: InputStatistics, axis: int) -> tuple[str, ...]:
    """Warn if mean or spread of an input channel differ between the two parts by more than SHIFT or SPREAD.

    Args:
        calibration: inputs that set the ranges.
        evaluation: inputs of the same kind that the model is judged by.
        axis: of a sample's channels.

    """
    (mean_c, std_c), (mean_e, std_e) = calibration.per_channel(axis), evaluation.per_channel(axis)
    floor = np.float32(1e-6 * max(abs(evaluation.low), abs(evaluation.high), 1e-6))  # for a channel that never moves
    unit = np.maximum(std_e, floor)
    errors = NormalDist().inv_cdf(
        1 - CHANCE / (2 * mean_c.size)
    )  # standard errors that so many channels reach by chance
    noise = errors * sqrt(1 / calibration.samples + 1 / evaluation.samples)
    shift = np.abs(mean_c - mean_e) / unit
    ratio = _ratio(np.maximum(std_c, floor), unit)
    worst = int(np.argmax(shift))
    if shift[worst] > max(SHIFT, noise):
        return (
            f"calibration data do not look like the evaluation data: the mean of input channel {worst} is "
            f"{mean_c[worst]:.3g} there and {mean_e[worst]:.3g} here, {shift[worst]:.1f} standard deviations apart "
            f"({SHIFT:g} are usual); give more samples, of every situation",
        )
    widest = int(np.argmax(ratio))
    if ratio[widest] > max(SPREAD, exp(noise / sqrt(2))):  # a spread errs by 1 / sqrt(2 samples) of itself
        return (
            f"calibration data do not look like the evaluation data: input channel {widest} spreads by "
            f"{std_c[widest]:.3g} there and {std_e[widest]:.3g} here ({SPREAD:g} times is usual); "
            "give more samples, of every situation",
        )
    return ()


def _ratio(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """The larger by the smaller, element by element."""
    ratio: NDArray[np.float32] = np.maximum(one, other) / np.minimum(one, other)
    return ratio
