"""Three disjoint parts by content: calibrate sets ranges, select chooses, report proves and never chooses anything."""

from collections.abc import Sequence
from dataclasses import dataclass

CALIBRATE_SHARE, SELECT_SHARE = 0.2, 0.2
"""Of all samples; the rest, 60 %, is for the report: a proof needs the most samples, a choice between few far less."""
CALIBRATE_CAP = 512
"""More change min/max ranges hardly, and cost time. Source: ai-edge-quantizer and NNCF advise 100 to 500."""
SELECT_CAP = 1024
"""Every candidate runs on these: beyond this the choice gets slower, not better."""
LEAST_REPORT = 20
"""Below this a single sample is worth 5 points, so no drop of one point can be seen at all."""


@dataclass(frozen=True, slots=True)
class Split:
    """Indices of samples, in the order of their content's hash; no content lies in two parts."""

    calibrate: tuple[int, ...]
    select: tuple[int, ...]
    report: tuple[int, ...]


def split(digests: Sequence[bytes]) -> Split:
    """Give the lowest digests to calibrate, the next to select, up to their shares and caps; equal ones stay together.

    There is no seed: names, order, labels and folders of the samples do not matter, only what they hold.
    """
    order = sorted(range(len(digests)), key=lambda index: (digests[index], index))
    first = _cut(order, digests, 0, min(CALIBRATE_CAP, int(len(order) * CALIBRATE_SHARE)))
    second = _cut(order, digests, first, min(SELECT_CAP, int(len(order) * SELECT_SHARE)))
    return Split(calibrate=tuple(order[:first]), select=tuple(order[first:second]), report=tuple(order[second:]))


def _cut(order: Sequence[int], digests: Sequence[bytes], start: int, wanted: int) -> int:
    """Where a part ends that begins at `start`: copies that do not all fit go to the next part together."""
    end = start + wanted
    while start < end < len(order) and digests[order[end]] == digests[order[end - 1]]:
        end -= 1
    return end


def needed_samples() -> int:
    """Return how many different samples are needed so that LEAST_REPORT of them are left for the report."""
    count = LEAST_REPORT
    while count - int(count * CALIBRATE_SHARE) - int(count * SELECT_SHARE) < LEAST_REPORT:
        count += 1
    return count
