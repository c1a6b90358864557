"""Histograms and drift in a few hundred bytes; the compiler makes the baseline with the very code devices count with.

A histogram is an array of counts by ascending edges: bin i counts edges[i-1] <= x < edges[i], the first and the last
bin are open, so there is one bin more than there are edges.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def _log_edges(low: float, decades: int, per_decade: int = 20) -> tuple[float, ...]:
    """Log-spaced edges, rounded to four digits so that every machine has the same ones."""
    return tuple(float(f"{low * 10 ** (i / per_decade):.4g}") for i in range(decades * per_decade + 1))


SCORE_EDGES: tuple[float, ...] = (
    0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999,
)  # fmt: skip
"""Of the top-1 score, 0..1; denser near 1, where a healthy classifier lives."""
LATENCY_EDGES_US = _log_edges(10.0, 6)
"""10 us to 10 s; neighbours differ by 12 %."""
AGE_EDGES_MS = _log_edges(0.1, 5)
"""0.1 ms to 10 s; neighbours differ by 12 %."""


def count(values: ArrayLike, edges: Sequence[float]) -> NDArray[np.int64]:
    """Count `values` by `edges`; NaN counts in the lowest bin, because for a score it means "no confidence"."""
    flat = np.nan_to_num(np.asarray(values, dtype=np.float64).ravel(), nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    bins = np.searchsorted(np.asarray(edges), flat, side="right")
    counts: NDArray[np.int64] = np.bincount(bins, minlength=len(edges) + 1).astype(np.int64)
    return counts


def quantile_edges(values: ArrayLike) -> tuple[float, ...]:
    """As many ascending edges as SCORE_EDGES has, so that each bin holds about as many of `values`; four digits each.

    For scores without a natural range, such as an anomaly score; equal quantiles are moved apart.
    """
    steps = np.arange(1, len(SCORE_EDGES) + 1) / (len(SCORE_EDGES) + 1)
    edges: list[float] = []
    for wanted in np.quantile(np.asarray(values, dtype=np.float64), steps):
        edge = float(f"{wanted:.4g}")
        if edges and edge <= edges[-1]:
            edge = float(f"{edges[-1] + max(abs(edges[-1]) * 1e-3, 1e-12):.6g}")
        edges.append(edge)
    return tuple(edges)


def psi(expected: ArrayLike, observed: ArrayLike) -> float:
    """Population stability index of two histograms, >= 0, without the part that small samples alone explain.

    PSI = sum((p - q) * ln(p / q)). Two samples of n and m of the *same* distribution have a PSI of
    (bins - 1) * (1/n + 1/m) on average, so samples of 50 often look like drift; that mean is subtracted.
    Half a count is added to each bin that either side uses (Jeffreys' prior), so an empty bin costs no infinity.
    0.1 is usually read as a small, 0.2 as a large shift. An empty histogram shows no shift: 0.

    Source: B. Yurdakul, "Statistical Properties of the Population Stability Index", Western Michigan University, 2018.
    """
    p, q = np.asarray(expected, dtype=np.float64), np.asarray(observed, dtype=np.float64)
    if p.shape != q.shape or p.ndim != 1:
        raise ValueError(f"histograms of different bins: {p.shape} and {q.shape}")
    used = (p + q) > 0
    p, q = p[used], q[used]
    n, m = float(p.sum()), float(q.sum())
    if n == 0 or m == 0:
        return 0.0
    p, q = (p + 0.5) / (n + 0.5 * p.size), (q + 0.5) / (m + 0.5 * q.size)
    plain = float(np.sum((p - q) * np.log(p / q)))
    noise = (p.size - 1) * (1 / n + 1 / m)
    return plain - noise if plain > noise else 0.0


def quantile(counts: ArrayLike, edges: Sequence[float], q: float) -> float:
    """The value below which a share `q` of a histogram of non-negative values lies; NaN for an empty one.

    Linear inside a bin; the first bin begins at 0; what lies in the last, open bin is answered with the last edge.
    """
    totals = np.asarray(counts, dtype=np.float64)
    if totals.shape != (len(edges) + 1,):
        raise ValueError(f"{totals.size} counts do not fit {len(edges)} edges")
    total = float(totals.sum())
    if total == 0:
        return float("nan")
    bounds = np.concatenate([[0.0], np.asarray(edges, dtype=np.float64), [edges[-1]]])
    below = np.concatenate([[0.0], np.cumsum(totals)])
    wanted = min(max(q, 0.0), 1.0) * total
    index = min(int(np.searchsorted(below[1:], wanted, side="left")), totals.size - 1)
    if totals[index] == 0:  # only for q = 0 before the first occupied bin
        index = int(np.flatnonzero(totals)[0])
    inside = max(0.0, wanted - float(below[index])) / float(totals[index])
    return float(bounds[index] + inside * (bounds[index + 1] - bounds[index]))


def softmax_top1(output: NDArray[np.float32]) -> tuple[int, float]:
    """Label index and score (0..1) of one output of any shape.

    Outputs that already are probabilities (>= 0, sum about 1) are used as they are; their sum may be off by half a
    step of 1/256 for each label, which is what an int8 soft-max leaves. All else goes through a soft-max.
    An output with NaN or infinity scores 0.0, so that a decider treats it as unsure.
    """
    if output.size <= _FEW:
        return _top1_of_few(output.ravel().tolist())
    flat = output.reshape(-1)
    label = int(flat.argmax())
    top, total = float(flat[label]), float(np.add.reduce(flat))  # what .sum() calls, at a third of its cost
    if not math.isfinite(total):
        return label, 0.0
    if abs(total - 1.0) <= _slack(flat.size) and float(np.minimum.reduce(flat)) >= 0.0:
        return label, min(top, 1.0)
    return label, 1.0 / float(np.exp((flat - top).astype(np.float64)).sum())


_FEW = 64
"""So few numbers are quicker in plain Python: each call into numpy brings code of its own into the caches."""


def _top1_of_few(values: list[float]) -> tuple[int, float]:
    top, total = max(values), sum(values)
    label = values.index(top)
    if not math.isfinite(total):
        return label, 0.0
    if abs(total - 1.0) <= _slack(len(values)) and min(values) >= 0.0:
        return label, min(top, 1.0)
    return label, 1.0 / sum([math.exp(value - top) for value in values])


def _slack(labels: int) -> float:
    """How far from 1 the sum of probabilities may lie."""
    return min(0.5, 0.01 + labels / 512)
