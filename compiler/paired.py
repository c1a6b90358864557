"""Bounds of a drop in the share of right decisions, where two models decide the same samples.

Only samples that one model gets right and the other wrong count: `lost` and `gained` of `samples`. The bound is exact:
whatever the true shares are, at most one bound in twenty lies below the true drop. A bootstrap of the same pairs gives
[0, 0] where no pair differs and is too narrow where few do.
"""

from functools import cache, lru_cache
from math import log, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

ALPHA = 0.05
GAMMA = 0.001
"""Of ALPHA, spent on where the share of gained samples can lie at all. Source: R. Berger and D. Boos, "P values
maximized over a confidence set for the nuisance parameter", JASA 89, 1994."""
EXACT_PAIRS = 150
"""With more differing pairs the score bound itself is as good, and summing over all outcomes gets slow."""
GRID, HALVINGS = 16, 18

Grid = NDArray[np.float64]
Counts = NDArray[np.int64]


@cache
def upper_bound(lost: int, gained: int, samples: int, alpha: float = ALPHA) -> float:
    """Largest true drop (lost - gained, as shares) that is still believable at one-sided level `alpha`.

    Exact and unconditional: outcomes are ordered by Tango's score statistic, and the probability of an outcome as
    extreme as the one seen is maximized over the unknown share of gained samples.
    Source: T. Tango, "Equivalence test and confidence interval for the difference in proportions for the paired-sample
    design", Statistics in Medicine 17, 1998; I. Chan and Z. Zhang, Biometrics 55, 1999, for the exact test around it.
    """
    guess = score_bound(lost, gained, samples, alpha)
    if lost + gained > EXACT_PAIRS:
        return guess
    low, high = (lost - gained) / samples, min(1.0, guess + (2 + sqrt(lost + gained + 1)) / samples)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _tail(middle, lost, gained, samples) > alpha - GAMMA else (low, middle)
    return high


def lower_bound(lost: int, gained: int, samples: int, alpha: float = ALPHA) -> float:
    """Smallest true drop that is still believable: the same question from the other side."""
    return -upper_bound(gained, lost, samples, alpha)


def score_bound(lost: float, gained: float, samples: float, alpha: float = ALPHA) -> float:
    """Tango's score bound; takes fractions of samples too, for plans."""
    z = _normal_quantile(1 - alpha)
    low, high = (lost - gained) / samples, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        statistic = float(_score(np.float64(lost), np.float64(gained), middle, samples))
        low, high = (middle, high) if statistic > -z else (low, middle)
    return high


def planned_bound(lost: float, gained: float, samples: int) -> float:
    """Bound to expect of `samples` samples with these rates of pairs (numbers may be fractions); exact for none."""
    nothing_lost = float(1 - (ALPHA - GAMMA) ** (1 / samples))  # (1 - drop) ** samples = ALPHA, the rule of three
    return nothing_lost if lost + gained == 0 else max(score_bound(lost, gained, samples), nothing_lost)


def samples_needed(lost: int, gained: int, samples: int, max_drop: float, most: int = 10_000_000) -> int | None:
    """How many samples would prove `max_drop` if pairs keep differing as often; None if no number would."""
    if (lost - gained) / samples >= max_drop:
        return None

    def enough(count: int) -> bool:
        return planned_bound(lost * count / samples, gained * count / samples, count) <= max_drop

    low, high = 1, samples
    while not enough(high):
        low, high = high, high * 2
        if high > most:
            return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return high


def _score(lost: Grid | np.float64, gained: Grid | np.float64, drop: float, samples: float) -> Grid:
    """Tango's statistic: how far the outcome lies from `drop`, in standard errors under it; formula (5) there."""
    a = 2.0 * samples
    b = -lost - gained + (2.0 * samples - lost + gained) * drop
    c = -gained * drop * (1 - drop)
    share = (np.sqrt(np.maximum(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = samples * (2 * share + drop * (1 - drop))
    statistic: Grid = (lost - gained - samples * drop) / np.sqrt(np.maximum(variance, 1e-300))
    return statistic


def _tail(drop: float, lost: int, gained: int, samples: int) -> float:
    """Probability of an outcome at most as bad as the one seen, if the true drop were `drop`, at its largest."""
    shares = _believable_shares(drop, gained, samples)
    most_lost = _reach(samples * (float(shares.max()) + max(drop, 0.0)), samples)
    most_gained = _reach(samples * float(shares.max()), samples)
    b = np.arange(most_lost + 1, dtype=np.float64)[:, None]
    c = np.arange(most_gained + 1, dtype=np.float64)[None, :]
    seen = float(_score(np.float64(lost), np.float64(gained), drop, samples))
    kept = (_score(b, c, drop, samples) <= seen + 1e-9) & (b + c <= samples)
    rows, columns = np.nonzero(kept)
    weights = _log_ways(rows, columns, samples)
    same = samples - rows - columns
    return max(float(np.exp(weights + _log_chance(rows, columns, same, q + drop, q)).sum()) for q in shares)


def _believable_shares(drop: float, gained: int, samples: int) -> Grid:
    """Shares of gained samples to try: those that Chernoff's bound does not exclude, within what `drop` allows."""
    reach = log(2 / GAMMA) / samples
    seen = gained / samples
    ends = _excluded(seen, reach, 0.0), _excluded(seen, reach, 1.0)
    return np.clip(np.linspace(*ends, GRID), max(0.0, -drop), (1 - drop) / 2)


def _excluded(seen: float, reach: float, end: float) -> float:
    """The share between `seen` and `end` whose divergence from `seen` is `reach`; `end` if none is that far."""
    near, far = seen, end
    for _ in range(40):
        middle = (near + far) / 2
        near, far = (middle, far) if _divergence(seen, middle) < reach else (near, middle)
    return far


def _divergence(seen: float, share: float) -> float:
    """Kullback-Leibler divergence of two coins."""
    if not 0 < share < 1:
        return 0.0 if seen == share else float("inf")
    first = seen * log(seen / share) if seen > 0 else 0.0
    return first + ((1 - seen) * log((1 - seen) / (1 - share)) if seen < 1 else 0.0)


def _reach(mean: float, samples: int) -> int:
    """Counts above this have a chance below one in a billion."""
    return min(samples, int(mean + 7 * sqrt(mean) + 20))


def _log_ways(lost: Counts, gained: Counts, samples: int) -> Grid:
    """Logarithm of the number of ways to choose which samples are lost and which are gained."""
    logs = _log_factorials(samples)
    ways: Grid = logs[samples] - logs[lost] - logs[gained] - logs[samples - lost - gained]
    return ways


def _log_chance(lost: Counts, gained: Counts, same: Counts, share_lost: float, share_gained: float) -> Grid:
    rest = 1 - share_lost - share_gained
    chance: Grid = lost * _log(share_lost) + gained * _log(share_gained) + same * _log(rest)
    return chance


def _log(share: float) -> float:
    """Finite for zero, so that nothing times it is nothing."""
    return log(max(share, 1e-300))


@lru_cache(maxsize=8)
def _log_factorials(samples: int) -> Grid:
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, samples + 1, dtype=np.float64)))])


def _normal_quantile(share: float) -> float:
    return NormalDist().inv_cdf(share)
