"""Which candidates go into the bundle: a pure rule that gives a reason for each one taken and each one left.

It sees what the select part showed, and of the report part only how many samples it has.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from compiler.budget import Budget
from compiler.drop_bounds import expected_bound, surely_lost
from compiler.int8_speed import int8_speed
from compiler.measure import Measured, sqnr_of
from compiler.objection import dear, slow, unfit
from compiler.reasons import why_fallback, why_main, why_not
from edge.errors import BadModelError
from edge.manifest import Precision
from edge.target import Target

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
    unusable = [unfit(one, target) for one in measured]
    costly = [dear(one, budget, report_samples) or (slow(one, measured) if here else "") for one in measured]
    usable = [index for index, why in enumerate(unusable) if not why]
    if not usable:
        raise _nothing_usable(measured, unusable, target)
    kept = [index for index in usable if not costly[index]]
    order = sorted(kept, key=lambda index: _rank(measured[index], measured, target)) or sorted(
        usable, key=lambda index: _excess(measured[index], budget, report_samples)
    )
    main, fallback = order[0], _fallback(order, measured)
    objections = [first or second for first, second in zip(unusable, costly, strict=True)]
    sentence = why_main(main, measured, objections, target)

    def reason(index: int) -> str:
        if index == main:
            return sentence
        if index == fallback:
            return why_fallback(measured[index], measured[main])
        if objections[index]:
            return f"not taken: {objections[index]}"
        return why_not(measured[index], measured[main], measured, target)

    return Choice(main=main, fallback=fallback, sentence=sentence, reasons=tuple(map(reason, range(len(measured)))))


def _nothing_usable(measured: Sequence[Measured], unusable: Sequence[str], target: Target) -> BadModelError:
    listed = "; ".join(f"{one.candidate.title}: {why}" for one, why in zip(measured, unusable, strict=True))
    return BadModelError(
        f"no candidate for {target.name} is good enough ({listed or 'none could be built'})",
        remedy="give better calibration data, or export the model in another format",
    )


def _rank(one: Measured, measured: Sequence[Measured], target: Target) -> tuple[int, int, int, float]:
    """Runtime first; then int8 before float where it is known to be faster, and after it elsewhere; then the error.

    Of two files that are equally fast the one whose outputs are nearer to the float model's wins: on few samples that
    says more than the metric does. Of two mixed ones the one with fewer float layers is faster, and wins.
    """
    runtime, dtype = one.candidate.form
    order = INT8_FASTER if int8_speed(runtime, measured, target).is_faster else FLOAT_FASTER
    return target.runtimes.index(runtime), order.index(dtype), one.candidate.layers_in_float, -sqnr_of(one)


def _excess(one: Measured, budget: Budget, report_samples: int) -> tuple[float, float]:
    """How far a candidate misses the budget: the time as a share of it, then the drop."""
    late = max(0.0, one.predicted.high / budget.max_ms - 1) if budget.max_ms and one.predicted else 0.0
    drop = expected_bound(one, report_samples) if budget.asked else surely_lost(one)
    return late, max(0.0, drop - budget.max_drop)


def _fallback(order: Sequence[int], measured: Sequence[Measured]) -> int | None:
    """A float of another runtime; else any of another runtime; else a float of the same one."""
    main = measured[order[0]].candidate
    rest = [index for index in order[1:] if measured[index].candidate.form != main.form]
    others = [index for index in rest if measured[index].candidate.dtype == "float32"] or rest
    elsewhere = [index for index in others if measured[index].candidate.runtime != main.runtime]
    return next(iter(elsewhere or others), None)
