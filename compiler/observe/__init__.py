"""One pass of calibration samples through a float model: what every activation looked like.

From an `Observation` each range method gives (low, high) without another pass: `compiler.observe.ranges`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from compiler.observe.histogram import Histogram

MOMENTUM = 0.95
"""Of the moving average. Source: ai-edge-quantizer 0.10, `qsv_utils.moving_average_update`."""
INFINITE = 1e38
"""From here on a float32 stands for infinity: exporters write -inf or the lowest number, -3.4e38, around a max pool."""
SAMPLED = 16_384
"""Values of a tensor and sample that enter the histogram; more are thinned evenly, which bounds the cost of a pass."""


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """One activation over all samples. Channels lie along the axis that the file format puts them on."""

    low: float
    high: float
    average_low: float
    """Moving average of each sample's smallest value."""
    average_high: float
    channel_max: NDArray[np.float64] = field(repr=False)
    """[channels]: largest magnitude."""
    channel_mean: NDArray[np.float64] = field(repr=False)
    """[channels]: mean over samples and positions."""
    histogram: Histogram = field(repr=False)


Observations = Mapping[str, Observation]
"""Tensor name to what was seen of it."""


class Observer:
    """Gathers one tensor, sample by sample, in memory that does not grow."""

    def __init__(self, channel_axis: int) -> None:
        self._axis = channel_axis
        self._samples = 0
        self._low, self._high = np.inf, -np.inf
        self._average_low = self._average_high = 0.0
        self._channel_max = self._channel_sum = np.zeros(0)
        self._histogram = Histogram.empty()

    def see(self, values: NDArray[np.float32]) -> None:
        """Take in one sample's tensor; its channel axis keeps its size from sample to sample.

        Infinite values are no activations but marks, such as the padding before a max pool: they count as zeros.
        """
        marks = ~(np.abs(values) < INFINITE)
        values = np.where(marks, np.float32(0), values) if marks.any() else values
        low, high = float(values.min()), float(values.max())
        first = self._samples == 0
        self._average_low = low if first else MOMENTUM * self._average_low + (1 - MOMENTUM) * low
        self._average_high = high if first else MOMENTUM * self._average_high + (1 - MOMENTUM) * high
        self._low, self._high = min(self._low, low), max(self._high, high)
        by_channel = self._channels_last(values)
        largest, mean = np.abs(by_channel).max(axis=0), by_channel.mean(axis=0, dtype=np.float64)
        self._channel_max = largest if first else np.maximum(self._channel_max, largest)
        self._channel_sum = mean if first else self._channel_sum + mean
        flat = values.reshape(-1)
        self._histogram = self._histogram.add(flat[:: -(-flat.size // SAMPLED)])
        self._samples += 1

    def result(self) -> Observation:
        """Return what was seen; raises ValueError if nothing was."""
        if not self._samples:
            raise ValueError("an observer that saw no sample knows no range")
        return Observation(
            self._low,
            self._high,
            self._average_low,
            self._average_high,
            self._channel_max.astype(np.float64),
            self._channel_sum / self._samples,
            self._histogram,
        )

    def _channels_last(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """[..., channels, ...] -> [positions, channels]; a tensor without that axis is one channel."""
        if values.ndim <= abs(self._axis) or values.ndim < 2:
            return values.reshape(-1, 1)
        moved = np.moveaxis(values, self._axis, -1)
        return moved.reshape(-1, moved.shape[-1])
