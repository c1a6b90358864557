"""How sure a drop is: the bounds that promises are held against, and what other samples would show."""

from math import ceil, sqrt

from compiler.compare import rule_of_three
from compiler.measure import Measured
from compiler.paired import planned_bound, samples_needed


def upper95(one: Measured) -> float:
    """The bound of a candidate that this release measured."""
    bound = one.quality.upper95
    return one.quality.ci95[1] if bound is None else bound


def expected_bound(one: Measured, samples: int) -> float:
    """Upper bound to expect on `samples` other samples, from what the select part showed."""
    compared, seen = one.compared, one.quality.samples
    if compared.lost is not None and compared.gained is not None:
        return planned_bound(compared.lost * samples / seen, compared.gained * samples / seen, samples)
    spread = (one.quality.ci95[1] - one.quality.drop) * sqrt(seen / samples) * 1.645 / 1.96
    return max(one.quality.drop + spread, rule_of_three(max(1, compared.evidence * samples // seen)))


def surely_lost(one: Measured) -> float:
    """The drop, less one standard error of it.

    Few samples choose, and a rule on the bare drop would refuse by chance. Source: the one-standard-error rule of
    L. Breiman et al., "Classification and Regression Trees", 1984.
    """
    compared, quality = one.compared, one.quality
    if compared.lost is not None and compared.gained is not None:
        return quality.drop - sqrt(compared.lost + compared.gained) / quality.samples
    return quality.drop - (quality.ci95[1] - quality.drop) / 1.96


def needed(one: Measured, max_drop: float) -> int | None:
    """How many samples the report part would need to prove `max_drop`, if what it showed goes on; None: no number."""
    compared, quality = one.compared, one.quality
    if compared.lost is not None and compared.gained is not None:
        return samples_needed(compared.lost, compared.gained, quality.samples, max_drop)
    if quality.drop >= max_drop or max_drop <= 0:
        return None
    shrink = ((upper95(one) - quality.drop) / (max_drop - quality.drop)) ** 2
    rare = 3 / max_drop * quality.samples / compared.evidence
    return ceil(max(quality.samples * shrink, rare))
