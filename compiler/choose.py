"""Which candidates go into the bundle: a pure rule that gives a reason for each one taken and each one left.

It sees what the select part showed, and of the report part only how many samples it has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from compiler.budget import Budget, expected_bound, milliseconds, points, surely_lost
from compiler.measure import Measured, sqnr_of
from edge.errors import BadModelError
from edge.manifest import MetricName, Precision, RuntimeName
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
INT8_FASTER: tuple[Precision, ...] = ("int8", "mixed", "float32", "float16", "int8-weights", "int16x8")
FLOAT_FASTER: tuple[Precision, ...] = ("float32", "float16", "int8-weights", "int8", "mixed", "int16x8")
"""Precisions from fast to slow, as the kernels of CPUs have them: float16 and int8 weights are expanded to float32 when
a model is loaded, and 16-bit activations fall to reference kernels. Source: XNNPACK's list of operators."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Indices into the candidates, and one reason for each of them."""

    main: int
    fallback: int | None
    sentence: str
    """Why the main one."""
    reasons: tuple[str, ...]

    @property
    def taken(self) -> tuple[int, ...]:
        """The main one first."""
        return (self.main,) if self.fallback is None else (self.main, self.fallback)

    def role(self, index: int) -> str:
        """Say in a word what a candidate is in the bundle; empty if it is not in it."""
        return "runs" if index == self.main else "fallback" if index == self.fallback else ""


def choose(
    measured: Sequence[Measured], target: Target, budget: Budget, *, report_samples: int, here: bool = False
) -> Choice:
    """Take the first usable candidate by the target's order of runtimes; int8 only where it is good *and* faster.

    Accuracy, predicted time and published speed decide; what was timed on this workstation does not, unless it is of
    the target's kind and int8 is clearly slower. If nothing keeps the budget here, the candidate that misses it least
    is taken: the proof on the report part then says so.

    Args:
        measured: on the select part.
        target: the kind of device.
        budget: what may be lost; one that was asked for must be likely to be proven, too.
        report_samples: how many samples the proof will have.
        here: whether this machine is of the target's kind.

    Raises: BadModelError if no candidate may be used.

    """
    unfit = [_unfit(one, target) for one in measured]
    dear = [_dear(one, budget, report_samples) or (_slow(one, measured) if here else "") for one in measured]
    usable = [index for index, why in enumerate(unfit) if not why]
    if not usable:
        listed = "; ".join(f"{_name(one)}: {why}" for one, why in zip(measured, unfit, strict=True))
        raise BadModelError(
            f"no candidate for {target.name} is good enough ({listed or 'none could be built'})",
            remedy="give better calibration data, or export the model in another format",
        )
    kept = [index for index in usable if not dear[index]]
    order = sorted(kept, key=lambda index: _rank(measured[index], measured, target)) or sorted(
        usable, key=lambda index: _excess(measured[index], budget, report_samples)
    )
    main = order[0]
    fallback = _fallback(order, measured)
    objections = [first or second for first, second in zip(unfit, dear, strict=True)]
    sentence = _why_main(main, measured, objections, target)
    reasons = tuple(
        sentence
        if index == main
        else f"not taken: {objection}"
        if objection and index != fallback
        else _why_not(index, measured, main=main, fallback=fallback, target=target)
        for index, objection in enumerate(objections)
    )
    return Choice(main=main, fallback=fallback, sentence=sentence, reasons=reasons)


def objection(one: Measured, target: Target, budget: Budget, *, report_samples: int) -> str:
    """Say what speaks against choosing a candidate, seen on the select part; empty if nothing does."""
    return _unfit(one, target) or _dear(one, budget, report_samples)


def speedup(target: Target, runtime: RuntimeName) -> float | None:
    """How much faster int8 is there, as published; None where nobody has published it."""
    published = target.speedup(runtime)
    return published.factor if published else None


def _unfit(one: Measured, target: Target) -> str:
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


def least_agreement(metric: MetricName) -> float:
    """Share of decisions that must be the float model's."""
    return MIN_BOX_AGREEMENT if metric in {"map", "map50"} else MIN_AGREEMENT


def _dear(one: Measured, budget: Budget, report_samples: int) -> str:
    """What speaks against a candidate that the budget is about."""
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


def _slow(one: Measured, measured: Sequence[Measured]) -> str:
    """What the clock says against an integer file."""
    runtime, kind = one.candidate.runtime, one.candidate.dtype
    floats = [m for m in measured if (m.candidate.runtime, m.candidate.dtype) == (runtime, "float32")]
    if kind not in {"int8", "mixed"} or not floats:
        return ""
    times = one.timing.ms / floats[0].timing.ms
    return f"takes {times:.1f} times as long as float32 on this machine" if times > CLEARLY_SLOWER else ""


def _excess(one: Measured, budget: Budget, report_samples: int) -> tuple[float, float]:
    """How far a candidate misses the budget: the time as a share of it, then the drop."""
    late = max(0.0, one.predicted.high / budget.max_ms - 1) if budget.max_ms and one.predicted else 0.0
    drop = expected_bound(one, report_samples) if budget.asked else surely_lost(one)
    return late, max(0.0, drop - budget.max_drop)


def _rank(one: Measured, measured: Sequence[Measured], target: Target) -> tuple[int, int, int, float]:
    """Runtime first; then int8 before float where it is known to be faster, and after it elsewhere; then the error.

    Of two files that are equally fast the one whose outputs are nearer to the float model's wins: on few samples that
    says more than the metric does. Of two mixed ones the one with fewer float layers is faster, and wins.
    """
    runtime, dtype = one.candidate.runtime, one.candidate.dtype
    order = INT8_FASTER if _faster(runtime, measured, target) else FLOAT_FASTER
    return target.runtimes.index(runtime), order.index(dtype), _kept_float(one), -sqnr_of(one)


def _kept_float(one: Measured) -> int:
    """How many layers a mixed plan keeps in float."""
    return len(one.candidate.plan.keep_float) if one.candidate.plan else 0


def _faster(runtime: RuntimeName, measured: Sequence[Measured], target: Target) -> bool:
    """Whether int8 is faster than float there: by both predictions if there are any, else as published."""
    times = _predicted(runtime, measured)
    if times is not None:
        return times[0].predicted_ms < times[1].predicted_ms
    return (speedup(target, runtime) or 0.0) > 1.0


@dataclass(frozen=True, slots=True)
class _Timed:
    predicted_ms: float
    words: str


def _predicted(runtime: RuntimeName, measured: Sequence[Measured]) -> tuple[_Timed, _Timed] | None:
    """Predicted times of int8 and float on one runtime, if both are known."""
    times = {
        one.candidate.dtype: _Timed(one.predicted.ms, milliseconds(one.predicted))
        for one in measured
        if one.candidate.runtime == runtime and one.predicted is not None
    }
    return (times["int8"], times["float32"]) if times.keys() >= {"int8", "float32"} else None


def _fallback(order: Sequence[int], measured: Sequence[Measured]) -> int | None:
    """A float of another runtime; else any of another runtime; else a float of the same one."""
    main = measured[order[0]].candidate
    rest = [index for index in order[1:] if _kind(measured[index]) != _kind(measured[order[0]])]
    others = [index for index in rest if measured[index].candidate.dtype == "float32"] or rest
    elsewhere = [index for index in others if measured[index].candidate.runtime != main.runtime]
    return next(iter(elsewhere or others), None)


def _why_main(main: int, measured: Sequence[Measured], objections: Sequence[str], target: Target) -> str:
    one = measured[main]
    runtime, quality = one.candidate.runtime, one.quality
    if objections[main]:
        return f"{_name(one)} comes nearest to the budget, but {objections[main]}"
    if one.candidate.dtype == "int8":
        change = f"gains {points(-quality.drop)}" if quality.drop < 0 else f"loses {points(quality.drop)}"
        return (
            f"int8 on {runtime} {_how_fast(runtime, measured, target)}, {change} on the {quality.samples} samples that "
            f"choose, and decides alike on {quality.agreement:.1%} of them"
        )
    siblings = [
        index
        for index, other in enumerate(measured)
        if other.candidate.runtime == runtime and other.candidate.dtype == "int8"
    ]
    if not siblings:
        return f"{_name(one)}, the first runtime of {target.name} with a usable candidate; there is no int8 there"
    best = max(siblings, key=lambda index: (not objections[index], sqnr_of(measured[index])))
    return f"{_name(one)}, because int8 there {objections[best] or _how_slow(runtime, measured, target)}"


def _how_fast(runtime: RuntimeName, measured: Sequence[Measured], target: Target) -> str:
    times, factor = _predicted(runtime, measured), speedup(target, runtime)
    if times is not None and times[0].predicted_ms < times[1].predicted_ms:
        return f"takes {times[0].words} on {target.name} and float32 {times[1].words}"
    if times is None and factor and factor > 1:
        return f"is put at {factor:g}x faster on {target.name}"
    return f"is the only form of the model there on {target.name}"


def _how_slow(runtime: RuntimeName, measured: Sequence[Measured], target: Target) -> str:
    times, factor = _predicted(runtime, measured), speedup(target, runtime)
    if times is not None:
        return f"takes {times[0].words} on {target.name}, and float32 {times[1].words}: it is not faster"
    if factor is not None:
        return f"is not faster on {target.name} ({factor:g}x)"
    return f"has no published speed-up on {target.name}"


def _why_not(index: int, measured: Sequence[Measured], *, main: int, fallback: int | None, target: Target) -> str:
    one, best = measured[index].candidate, measured[main].candidate
    if index == fallback:
        where = (
            "where the first runtime is missing" if one.runtime != best.runtime else "if int8 should fail in the field"
        )
        return f"taken as the fallback, {where}"
    if one.runtime != best.runtime:
        return f"not taken: {target.name} prefers {best.runtime}, and a bundle holds two variants at most"
    if _kept_float(measured[index]) > _kept_float(measured[main]) > 0:
        return f"not taken: the chosen one is good enough with {_kept_float(measured[main])} layers in float"
    if _kind(measured[index]) == _kind(measured[main]):
        near = f"{sqnr_of(measured[main]):.1f} dB against {sqnr_of(measured[index]):.1f}"
        return f"not taken: of the same speed as the chosen one, which is nearer to the float model ({near})"
    if one.dtype == "int8":
        return f"not taken: int8 {_how_slow(one.runtime, measured, target)}"
    return "not taken: the main variant is as good, and the fallback is for another runtime"


def _name(one: Measured) -> str:
    return f"{one.candidate.dtype} on {one.candidate.runtime}"


def _kind(one: Measured) -> tuple[RuntimeName, Precision]:
    return one.candidate.runtime, one.candidate.dtype
