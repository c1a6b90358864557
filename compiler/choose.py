"""Which candidates go into the bundle: a pure rule that gives a reason for each one taken and each one left."""

from collections.abc import Sequence
from dataclasses import dataclass

from compiler.measure import Measured
from edge.errors import BadModelError
from edge.manifest import RuntimeName
from edge.target import Target

MAX_DROP = 0.01
MIN_AGREEMENT = 0.97


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


def choose(measured: Sequence[Measured], target: Target, *, max_drop: float = MAX_DROP) -> Choice:
    """Take the first usable candidate by the target's order of runtimes; int8 only where it is good *and* faster.

    Accuracy and published speed decide; what was timed on this workstation does not, because it is not the target.

    Raises: BadModelError if no candidate may be used.
    """
    objections = [_objection(one, target, max_drop) for one in measured]
    order = sorted(
        (index for index, why in enumerate(objections) if not why), key=lambda index: _rank(measured[index], target)
    )
    if not order:
        listed = "; ".join(f"{_name(one)}: {why}" for one, why in zip(measured, objections, strict=True))
        raise BadModelError(
            f"no candidate for {target.name} is good enough ({listed or 'none could be built'})",
            remedy="allow more with --max-drop, give better calibration data, or export the model in another format",
        )
    main = order[0]
    others = [index for index in order[1:] if measured[index].candidate.dtype == "float32"] or order[1:]
    elsewhere = [index for index in others if measured[index].candidate.runtime != measured[main].candidate.runtime]
    fallback = next(iter(elsewhere or others), None)
    sentence = _why_main(measured[main], measured, objections, target, max_drop)
    reasons = tuple(
        sentence
        if index == main
        else f"not taken: {objection}"
        if objection
        else _why_not(index, measured, main=main, fallback=fallback, target=target)
        for index, objection in enumerate(objections)
    )
    return Choice(main=main, fallback=fallback, sentence=sentence, reasons=reasons)


def speedup(target: Target, runtime: RuntimeName) -> float | None:
    """How much faster int8 is there, as published; None where nobody has published it."""
    published = target.speedup(runtime)
    return published.factor if published else None


def _objection(one: Measured, target: Target, max_drop: float) -> str:
    candidate, quality = one.candidate, one.quality
    if candidate.runtime not in target.runtimes:
        return f"{target.name} does not list {candidate.runtime}"
    if candidate.dtype not in target.dtypes:
        return f"{target.name} does not list {candidate.dtype}"
    if len(candidate.data) > target.ram_mib * 2**20:
        return f"larger than the {target.ram_mib} MiB that a model may use on {target.name}"
    if quality.drop > max_drop:
        return f"loses {points(quality.drop)}, more than {points(max_drop)}"
    if quality.agreement < MIN_AGREEMENT:
        return f"decides like the float model on {quality.agreement:.1%} only, {MIN_AGREEMENT:.0%} are needed"
    return ""


def _rank(one: Measured, target: Target) -> tuple[int, int]:
    """Runtime first; then int8 before float where it is known to be faster, and after it elsewhere."""
    runtime, dtype = one.candidate.runtime, one.candidate.dtype
    faster = (speedup(target, runtime) or 0.0) > 1.0
    return target.runtimes.index(runtime), 0 if (dtype == "int8") == faster else 1


def _why_main(
    main: Measured, measured: Sequence[Measured], objections: Sequence[str], target: Target, max_drop: float
) -> str:
    runtime, quality = main.candidate.runtime, main.quality
    siblings = [
        (one, why)
        for one, why in zip(measured, objections, strict=True)
        if one.candidate.runtime == runtime and one.candidate.dtype != main.candidate.dtype
    ]
    factor = speedup(target, runtime)
    if main.candidate.dtype == "int8":
        change = f"gains {points(-quality.drop)}" if quality.drop < 0 else f"loses {points(quality.drop)}"
        proof = f"{change} (95 % interval of the loss {points(quality.ci95[0])} to {points(quality.ci95[1])})"
        doubt = (
            ""
            if quality.ci95[1] <= max_drop
            else f", though {quality.samples} samples cannot rule out more than {points(max_drop)}"
        )
        fast = f"is published as {factor:g}x faster" if factor and factor > 1 else "is the only form of the model there"
        return (
            f"int8 on {runtime} {fast} on {target.name}, {proof} and decides alike on {quality.agreement:.1%} "
            f"of {quality.samples} samples{doubt}"
        )
    if not siblings:
        return (
            f"float32 on {runtime}, the first runtime of {target.name} with a usable candidate; there is no int8 there"
        )
    why = siblings[0][1] or (
        f"is not faster on {target.name} ({factor:g}x)"
        if factor is not None
        else f"has no published speed-up on {target.name}"
    )
    return f"float32 on {runtime}, because int8 there {why}"


def _why_not(index: int, measured: Sequence[Measured], *, main: int, fallback: int | None, target: Target) -> str:
    one, best = measured[index].candidate, measured[main].candidate
    if index == fallback:
        where = (
            "where the first runtime is missing" if one.runtime != best.runtime else "if int8 should fail in the field"
        )
        return f"taken as the fallback, {where}"
    if one.runtime != best.runtime:
        return f"not taken: {target.name} prefers {best.runtime}, and a bundle holds two variants at most"
    if one.dtype == "int8":
        return "not taken: nobody has published that int8 is faster there"
    return "not taken: the main variant is as good, and the fallback is for another runtime"


def _name(one: Measured) -> str:
    return f"{one.candidate.dtype} on {one.candidate.runtime}"


def points(share: float) -> str:
    """Write a difference of shares in percentage points."""
    return f"{100 * share:.2f} points"
