"""Calibration samples, and how many of them are observed, judge, and teach: the same on every machine."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

Sample = NDArray[np.float32]  # [steps, ...]: of one step, the batch of 1, without a state, else a sequence
Calibration = Callable[[], Iterator[Sample]]
"""Each call starts anew and yields the samples in a fixed order."""

JUDGED = 64
"""Samples by which a pass is judged, at most. By 32 of them, after the soft-max, equalizing seemed to gain 6 dB on
ResNet-8, and lost 1.5 dB on others (measured)."""
OBSERVED = 512
"""Samples that are observed, at most."""
LEAST = 16
"""Of both, however large the network."""
OBSERVED_NUMBERS, JUDGED_NUMBERS = 5e8, 2e8
"""Activations in all that are observed or judged: a MobileNetV2 of 224 pixels (6.7 million a sample) gets 74 and 29."""
LEARNING = 128
"""Samples that weights are learned from, at most. They are judged by others: by every fourth sample."""
HELD_OUT = 4
LEARNING_NUMBERS, STAGE_NUMBERS, LEAST_STAGES = 2e8, 2e9, 4
"""Activations of all samples that are learned from, and of all stages of learning: see OBSERVED_NUMBERS."""


@dataclass(frozen=True, slots=True)
class Portions:
    """What each use gets; `size`: numbers in all activations of one sample."""

    calibration: Calibration
    size: int

    def observed(self) -> Iterator[Sample]:
        """Samples that set ranges."""
        return islice(self.calibration(), self._bounded(OBSERVED, OBSERVED_NUMBERS))

    def judged(self) -> Iterator[Sample]:
        """Samples by which files are judged."""
        return islice(self.calibration(), self._bounded(JUDGED, JUDGED_NUMBERS))

    def learned(self) -> Iterator[Sample]:
        """Samples to learn from."""
        others = (sample for number, sample in enumerate(self.calibration()) if number % HELD_OUT)
        return islice(others, self._bounded(LEARNING, LEARNING_NUMBERS))

    def held_out(self) -> Iterator[Sample]:
        """Samples that nothing was learned from."""
        return islice(self.calibration(), 0, HELD_OUT * self._bounded(JUDGED, JUDGED_NUMBERS), HELD_OUT)

    def stages(self, samples: int) -> int:
        """How many stages of learning so many samples allow."""
        return max(LEAST_STAGES, int(STAGE_NUMBERS // (self.size * samples)))

    def _bounded(self, most: int, numbers: float) -> int:
        return max(LEAST, min(most, int(numbers // self.size)))
