"""What speaks against a candidate, as the select part shows it: empty words if nothing does."""

from collections.abc import Sequence
from math import sqrt

from compiler.budget import Budget
from compiler.drop_bounds import expected_bound, surely_lost
from compiler.measure import Measured
from compiler.words import milliseconds, points
from edge.manifest import MetricName
from edge.target import Target

MIN_AGREEMENT = 0.97
MIN_BOX_AGREEMENT = 0.75
"""Of a detector's boxes. A score that trembles at the floor makes a box come and go, which changes no ranking:
FastestDet in int8 loses 0.6 points of mAP and has 85 % of its boxes in common with float (measured). Below this it is
another detector, whatever its precision."""
TWICE = 2
"""Of the aim, where nobody asked for a budget: what loses so much on the select part is left, however few its samples.
A good int8 file that decides 1 % of 120 samples otherwise, as often for better as for worse, is refused by that in one
compile of seventy (computed: three more lost than gained, both Poisson with mean 0.6)."""
CLEARLY_SLOWER = 1.5
"""Times of float32, measured in turns where this machine is of the target's kind: what is slower than that is so on
every such machine, and no busy moment. Operators without an integer kernel do it (2.9: a transformer on LiteRT)."""


def objection(one: Measured, target: Target, budget: Budget, *, report_samples: int) -> str:
    """Say what speaks against choosing a candidate, seen on the select part; empty if nothing does."""
    return unfit(one, target) or dear(one, budget, report_samples)


def least_agreement(metric: MetricName) -> float:
    """Share of decisions that must be the float model's."""
    return MIN_BOX_AGREEMENT if metric in {"map", "map50"} else MIN_AGREEMENT


def unfit(one: Measured, target: Target) -> str:
    """Say why a candidate may not be used on the target at all."""
    candidate, quality = one.candidate, one.quality
    if candidate.runtime not in target.runtimes:
        return f"{target.name} does not list {candidate.runtime}"
    if candidate.dtype not in target.dtypes:
        return f"{target.name} does not list {candidate.dtype}"
    if len(candidate.data) > target.ram_mib * 2**20:
        return f"larger than the {target.ram_mib} MiB that a model may use on {target.name}"
    error = sqrt(quality.agreement * (1 - quality.agreement) / quality.samples)
    wanted = least_agreement(quality.metric)
    if quality.agreement + error < wanted:
        return f"decides like the float model on {quality.agreement:.1%} only, {wanted:.0%} are needed"
    return ""


def dear(one: Measured, budget: Budget, report_samples: int) -> str:
    """Say how a candidate fails the budget."""
    drop, latency = one.quality.drop, one.predicted
    if not budget.asked and surely_lost(one) > budget.max_drop:
        return f"loses {points(drop)}, more than {points(budget.max_drop)} by more than one standard error"
    if not budget.asked and drop > TWICE * budget.max_drop:
        return f"loses {points(drop)}, more than twice {points(budget.max_drop)}"
    if budget.asked and drop > budget.max_drop:
        return f"loses {points(drop)}, more than {points(budget.max_drop)}"
    bound = expected_bound(one, report_samples)
    if budget.asked and bound > budget.max_drop:
        return f"loses {points(drop)}, and {report_samples} samples would hardly prove less than {points(bound)}"
    if budget.max_ms is not None and latency is not None and latency.high > budget.max_ms:
        return f"takes {milliseconds(latency)}, more than {budget.max_ms:g} ms"
    return ""


def slow(one: Measured, measured: Sequence[Measured]) -> str:
    """Say what the clock has against an integer file."""
    runtime, kind = one.candidate.form
    floats = [other for other in measured if other.candidate.form == (runtime, "float32")]
    if kind not in {"int8", "mixed"} or not floats:
        return ""
    times = one.timing.ms / floats[0].timing.ms
    return f"takes {times:.1f} times as long as float32 on this machine" if times > CLEARLY_SLOWER else ""
