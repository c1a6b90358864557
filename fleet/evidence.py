"""Statistics behind the quality gates: how far devices on the new version stand out from those on the old one.

Waves are drawn by lot, so a rollout is a randomised experiment whose unit is the *device*. Frames of one camera are
nearly copies of each other: 500 of them may be worth 20 independent ones. So every figure is computed per device
first, and its error comes from how much the control devices differ among themselves, never from a count of frames.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from edge.statistics import SCORE_EDGES, psi
from fleet.views import Baseline

MIN_BIN_SHARE = 0.1
"""Bins of the baseline are joined until each holds this share. Source: the decile bins that PSI was defined on."""

ALWAYS_APART = (0.6, 0.9, 0.99)
"""Scores of a classifier at which bins are kept apart all the same: a sharp model has nearly everything in its last
bin, and joined into one bin nothing could ever drift."""

HEAVY_SHARE = 0.5
"""Other tasks' edges are quantiles, so a bin that holds more has one score many times over, such as that of a detector
which saw nothing. It is kept apart from both its neighbours, for the same reason."""

ANYTHING_SHARE = 0.1
"""Part of the frames that may be anything, on both sides: PSI would take a handful of blurred frames in a bin that the
bench left empty for a catastrophe. A sharp model drifts by 0.25 when about one frame in seven turns unsure."""

FRAMES_PER_LOOK, FRAMES_PER_LABEL = 40, 150
"""How many frames of a stream are worth one independent sample of a score, and of a label: a scene stays for seconds.
Assumed, not measured; more frames or more devices make up for a wrong guess, because doubt only waits."""

PRIOR_SPREAD, PRIOR_DEVICES = 0.05, 2.0
"""What we assume of the spread between devices before seeing any, and how many devices that assumption is worth: two or
three control devices alike by chance must not look like certainty. Source: moderated variance, Smyth 2004."""

SURE = 3.0
"""Standard errors that the figure must lie beyond its limit before a gate says stop."""


@dataclass(frozen=True, slots=True)
class Excess:
    """By how much the wave exceeds the control, with its standard error, and the two means it came from."""

    value: float
    error: float
    wave: float
    control: float
    resolution: float = 0.0
    """The part of the error that small samples alone explain: what lies below it could not have been seen."""

    def surely_above(self, limit: float) -> bool:
        """Say whether chance alone is no explanation for lying above `limit`."""
        return self.value - SURE * self.error > limit


def excess(wave: Sequence[float], control: Sequence[float], *, reference: float = 0.0, noise: float = 0.0) -> Excess:
    """Compare one figure per device with the control devices', or with `reference` when that is more.

    `reference` is a known figure, such as what these devices showed before: one that stood out already is not news.

    `noise`: variance of one device's figure that small samples alone explain; the spread seen among a handful of
    devices is never believed to be below it. Raises: ValueError without any wave device.
    """
    if not wave:
        raise ValueError("no device of the wave has enough evidence")
    # under "no worse than the old version" both groups spread alike; the wave's own spread may be the very damage
    known = control or wave
    centre = sum(known) / len(known)
    squares = sum((x - centre) ** 2 for x in known)
    spread = (PRIOR_DEVICES * PRIOR_SPREAD**2 + squares) / (PRIOR_DEVICES + len(known) - 1)
    share = 1 / len(wave) + 1 / max(1, len(control))
    mean = sum(wave) / len(wave)
    against = max(reference, sum(control) / len(control) if control else 0.0)
    return Excess(mean - against, sqrt(max(spread, noise) * share), mean, against, sqrt(noise * share))


def psi_noise(bins: int, frames: float, frames_per_look: int) -> float:
    """Variance of the PSI of one stream that has not changed: 2 (bins - 1) / looks^2.

    Source: PSI of two samples of one distribution is chi-squared with bins - 1 degrees of freedom, over the number of
    independent samples (Yurdakul 2018; the bench's own sample is large beside one device's few looks).
    """
    looks = max(1.0, frames / frames_per_look)
    return 2 * max(1, bins - 1) / looks**2


def drift_noise(baseline: Baseline, frames: float) -> float:
    """`psi_noise` of `drift`. `frames`: scores of one device, on average."""
    return psi_noise(len(_bins(baseline)), frames, FRAMES_PER_LOOK)


def drift(baseline: Baseline, scores: Sequence[int]) -> float:
    """PSI of one device's scores against the baseline of the version it ran, counted by the same edges."""
    expected, observed = np.asarray(baseline.counts, np.int64), np.asarray(scores, np.int64)
    starts = _bins(baseline)
    return psi(_loosened(np.add.reduceat(expected, starts)), _loosened(np.add.reduceat(observed, starts)))


def _loosened(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    total = float(counts.sum())
    mixed: NDArray[np.float64] = (1 - ANYTHING_SHARE) * counts + ANYTHING_SHARE * total / counts.size
    return mixed


def _bins(baseline: Baseline) -> list[int]:
    """Where each joined bin begins: wherever MIN_BIN_SHARE has been gathered, and where bins are kept apart."""
    expected, apart = np.asarray(baseline.counts, np.int64), _apart(baseline)
    wanted, starts, held = MIN_BIN_SHARE * float(expected.sum()), [0], 0.0
    for i in range(1, expected.size):
        held += float(expected[i - 1])
        if i in apart or (held >= wanted and float(expected[i:].sum()) >= wanted):
            starts.append(i)
            held = 0.0
    return starts


def _apart(baseline: Baseline) -> set[int]:
    """Bins that begin whatever they hold: a classifier's at ALWAYS_APART, another's around one that holds too much."""
    if not baseline.edges:
        return {i for i, edge in enumerate(SCORE_EDGES, start=1) if edge in ALWAYS_APART}
    heavy = np.flatnonzero(np.asarray(baseline.counts) > HEAVY_SHARE * sum(baseline.counts))
    return {int(i) for i in (*heavy, *(heavy + 1)) if 0 < i < len(baseline.counts)}


def label_shifts(
    wave: Sequence[Mapping[str, int]], control: Sequence[Mapping[str, int]]
) -> tuple[list[float], list[float]]:
    """PSI of each device's label mix against the control's: (wave devices, control devices each against the others)."""
    names = sorted({name for labels in (*wave, *control) for name in labels})
    rows = np.array([[labels.get(name, 0) for name in names] for labels in control], np.int64)
    rows = rows.reshape(len(control), len(names))
    total = rows.sum(axis=0)
    shifts = [psi(total, np.array([labels.get(name, 0) for name in names], np.int64)) for labels in wave]
    among = [psi(total - row, row) for row in rows] if len(rows) > 1 else []
    return shifts, among


def pooled(histograms: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """Sum of histograms over the same edges; empty ones count nothing."""
    filled = [np.asarray(h, np.int64) for h in histograms if len(h)]
    return np.sum(filled, axis=0) if filled else np.zeros(0, np.int64)
