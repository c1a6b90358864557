"""Whether the scores at work are still distributed as on the held-out samples when the model was compiled."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from edge.statistics import psi

MIN_SCORES = 500
"""Below this many, chance alone looks like drift. Source: docs/architecture, telemetry."""
KEPT_SCORES = 2000


class DriftWatch:
    """Compares the last scores, at least 500 and about 2,000, with a bundle's baseline."""

    def __init__(self, baseline: tuple[int, ...], *, limit: float) -> None:
        """`baseline`: counts by the edges of its bundle; empty when unknown. `limit`: PSI that is drift."""
        self._baseline = np.asarray(baseline, dtype=np.int64)
        self._limit = limit
        self._last: deque[NDArray[np.int64]] = deque()
        self._total = np.zeros_like(self._baseline)
        self._over = False
        self.value: float | None = None
        """Population stability index of the last scores; None until there are enough."""

    def add(self, counts: NDArray[np.int64]) -> bool:
        """Take one window's counts; True when the limit has just been passed, once until it is well below again."""
        if not self._baseline.sum() or counts.shape != self._baseline.shape:
            return False
        self._last.append(counts)
        self._total = self._total + counts
        while self._total.sum() - self._last[0].sum() >= KEPT_SCORES:
            self._total = self._total - self._last.popleft()
        if self._total.sum() < MIN_SCORES:
            return False
        self.value = psi(self._baseline, self._total)
        passed = self.value > self._limit and not self._over
        self._over = self.value > self._limit * (1.0 if not self._over else 0.8)
        return passed
