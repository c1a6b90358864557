"""Calibration and held-out samples: disjoint, chosen by content, so the same data give the same split everywhere."""

from collections.abc import Sequence
from dataclasses import dataclass

CALIBRATION_SHARE = 0.3
CALIBRATION_CAP = 512
"""More change min/max ranges hardly, and cost time. Source: ai-edge-quantizer and NNCF advise 100 to 500."""
LEAST_HELD_OUT = 20
"""Below this a single sample is worth 5 points, so no drop of one point can be seen at all."""


@dataclass(frozen=True, slots=True)
class Split:
    """Indices of samples, in the order of their content's hash; no content lies on both sides."""

    calibration: tuple[int, ...]
    held_out: tuple[int, ...]


def split(digests: Sequence[bytes]) -> Split:
    """Give the lowest digests to calibration, up to a share and a cap; equal digests stay together.

    There is no seed: names, order and folders of the samples do not matter, only what they hold.
    """
    order = sorted(range(len(digests)), key=lambda index: (digests[index], index))
    wanted = min(CALIBRATION_CAP, int(len(order) * CALIBRATION_SHARE))
    end = wanted
    while 0 < end < len(order) and digests[order[end]] == digests[order[end - 1]]:
        end -= 1  # a group of duplicates that does not fit goes to the held-out side as a whole
    return Split(calibration=tuple(order[:end]), held_out=tuple(order[end:]))


def needed_samples() -> int:
    """Return how many different samples are needed so that LEAST_HELD_OUT of them are held out."""
    count = LEAST_HELD_OUT
    while count - int(count * CALIBRATION_SHARE) < LEAST_HELD_OUT:
        count += 1
    return count
