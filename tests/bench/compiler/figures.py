"""From outputs to figures: quality of one file, and paired tests between two. Pure; same input, same numbers."""

from math import isfinite

import msgspec
import numpy as np

from compiler.metrics import correlation, sqnr_db
from compiler.metrics.auc import area

RESAMPLES = 1_000
BETTER_DB = 0.5
COLLAPSE = {"accuracy": 0.01, "auc": 0.01, "correlation": 0.01}
"""More lost than this: a point, .01 of the AUC, or a correlation below .99."""
CLASSES = {"accuracy", "agreement"}
"""Metrics that count right decisions; of an agreement, right is what the float model decides."""
LEAST_CORRELATION = 0.99
"""Of an agreement, instead: on some dozen samples one decision is more than a point."""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One file on the report part."""

    metric: str
    value: float
    drop: float
    sqnr_db: float
    agreement: float
    size_bytes: int
    seconds_p50: float
    correlation: float | None = None
    """Of the outputs with the float model's; None: they are constant, or nobody asked."""

    @property
    def collapsed(self) -> bool:
        """Lost more than any user would take."""
        if self.metric == "agreement":
            return self.correlation is None or self.correlation < LEAST_CORRELATION
        return self.drop > COLLAPSE[self.metric] + 1e-12


class Paired(msgspec.Struct, frozen=True, kw_only=True):
    """Ours against another file on the same samples."""

    p: float
    """Two-sided: exact McNemar test, or a paired bootstrap."""
    gain: float
    """Ours minus theirs in the metric."""
    gain_db: float

    @property
    def worse(self) -> bool:
        """By the test."""
        return self.p < 0.05 and self.gain < 0

    @property
    def better(self) -> bool:
        """By the test; or not different by it, and more than half a decibel nearer to the float model."""
        return (self.p < 0.05 and self.gain > 0) or (not self.worse and self.gain_db > BETTER_DB)


def scores_of(metric: str, outputs: np.ndarray, x: np.ndarray) -> np.ndarray:
    """What the metric looks at: class scores, the error of a rebuilt input, or the outputs themselves."""
    if metric != "auc":
        return outputs
    flat: np.ndarray = ((outputs.astype(np.float64) - x.reshape(len(x), -1)) ** 2).mean(1)
    return flat


def value_of(metric: str, scores: np.ndarray, truth: np.ndarray) -> float:
    """The metric; of a correlation, `truth` is what the float model says."""
    if metric in CLASSES:
        return float((scores.argmax(1) == truth).mean())
    if metric == "auc":
        return area(scores.astype(np.float64), truth)
    found = float(correlation(truth, scores))
    return found if isfinite(found) else 0.0


def agreement(metric: str, scores: np.ndarray, reference: np.ndarray) -> float:
    """Share of equal decisions; without classes, of samples whose outputs correlate above .99."""
    if metric in CLASSES:
        return float((scores.argmax(1) == reference.argmax(1)).mean())
    if metric == "auc":
        threshold = np.median(reference)
        return float(((scores > threshold) == (reference > threshold)).mean())
    each = [np.corrcoef(a, b)[0, 1] for a, b in zip(scores, reference, strict=True)]
    return float((np.nan_to_num(each) > 0.99).mean())


def compare(metric: str, ours: np.ndarray, theirs: np.ndarray, truth: np.ndarray, gain_db: float) -> Paired:
    """Test two files on the same samples."""
    gain = value_of(metric, ours, truth) - value_of(metric, theirs, truth)
    p = mcnemar(ours, theirs, truth) if metric in CLASSES else bootstrap(metric, ours, theirs, truth)
    return Paired(p=p, gain=gain, gain_db=gain_db)


def mcnemar(ours: np.ndarray, theirs: np.ndarray, truth: np.ndarray) -> float:
    """Exact two-sided p. Source: Q. McNemar, Psychometrika 12, 1947; the binomial form of it."""
    from scipy.stats import binomtest

    right, other = ours.argmax(1) == truth, theirs.argmax(1) == truth
    only_ours, only_theirs = int((right & ~other).sum()), int((~right & other).sum())
    if only_ours + only_theirs == 0:
        return 1.0
    return float(binomtest(only_ours, only_ours + only_theirs).pvalue)


def bootstrap(metric: str, ours: np.ndarray, theirs: np.ndarray, truth: np.ndarray) -> float:
    """Two-sided p of a paired bootstrap of the difference; never 0, since so few draws cannot tell.

    Source: A. Davison and D. Hinkley, "Bootstrap Methods and their Application", 1997, section 4.2.
    """
    rng = np.random.default_rng(0)
    gains = []
    for _ in range(RESAMPLES if truth.ndim == 1 else 200):
        drawn = rng.integers(0, len(truth), len(truth))
        gains.append(value_of(metric, ours[drawn], truth[drawn]) - value_of(metric, theirs[drawn], truth[drawn]))
    found = np.array(gains)
    rarer = min((found <= 0).sum(), (found >= 0).sum())
    return float(min(1.0, 2 * (rarer + 1) / (len(found) + 1)))


def noise_db(outputs: np.ndarray, reference: np.ndarray) -> float:
    """SQNR, at most 150 so that it can be written as JSON."""
    return float(np.clip(sqnr_db(reference, outputs), -150, 150))
