"""A histogram whose range doubles when a value falls outside: bounded memory, one pass, no range known beforehand."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

BINS = 4096
"""Over [-reach, reach]; after a doubling at least a quarter of them lie over the values of one sign."""


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """Counts of values in `BINS` equal bins over [-reach, reach]. Exact zeros are left out: every scale holds them."""

    reach: float
    counts: NDArray[np.int64] = field(repr=False)

    @classmethod
    def empty(cls) -> "Histogram":
        """Return one that has seen nothing."""
        return cls(0.0, np.zeros(BINS, np.int64))

    @property
    def total(self) -> int:
        """Values counted."""
        return int(self.counts.sum())

    @property
    def centres(self) -> NDArray[np.float64]:
        """Middle of each bin."""
        return (np.arange(BINS) + 0.5) * (2 * self.reach / BINS) - self.reach

    def add(self, values: NDArray[np.float32]) -> "Histogram":
        """Return a histogram with finite `values` (any shape, zeros included) counted in."""
        flat = values[values != 0].astype(np.float64, copy=False).reshape(-1)
        if not flat.size:
            return self
        largest = float(np.abs(flat).max())
        grown = self
        if grown.reach == 0:
            grown = Histogram(largest, grown.counts)
        while grown.reach < largest:
            grown = grown._doubled()
        at = ((flat + grown.reach) * (BINS / (2 * grown.reach))).astype(np.int64)
        counts = np.bincount(np.clip(at, 0, BINS - 1), minlength=BINS)
        return Histogram(grown.reach, grown.counts + counts)

    def _doubled(self) -> "Histogram":
        """Cover twice the range: each pair of bins becomes one."""
        counts = np.zeros(BINS, np.int64)
        counts[BINS // 4 : BINS - BINS // 4] = self.counts.reshape(-1, 2).sum(axis=1)
        return Histogram(2 * self.reach, counts)
