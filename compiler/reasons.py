"""Why a candidate is in the bundle or not, in words."""

from collections.abc import Sequence

from compiler.int8_speed import Int8Speed, int8_speed
from compiler.measure import Measured, sqnr_of
from compiler.words import milliseconds, points
from edge.target import Target


def why_main(main: int, measured: Sequence[Measured], objections: Sequence[str], target: Target) -> str:
    """Say why the candidate that runs is the one; `objections`: to each of `measured`, empty where there is none."""
    one = measured[main]
    candidate, quality = one.candidate, one.quality
    if objections[main]:
        return f"{candidate.title} comes nearest to the budget, but {objections[main]}"
    speed = int8_speed(candidate.runtime, measured, target)
    if candidate.dtype == "int8":
        change = f"gains {points(-quality.drop)}" if quality.drop < 0 else f"loses {points(quality.drop)}"
        return (
            f"{candidate.title} {_how_fast(speed, target)}, {change} on the {quality.samples} samples that "
            f"choose, and decides alike on {quality.agreement:.1%} of them"
        )
    siblings = [at for at, other in enumerate(measured) if other.candidate.form == (candidate.runtime, "int8")]
    if not siblings:
        return f"{candidate.title}, the first runtime of {target.name} with a usable candidate; there is no int8 there"
    best = max(siblings, key=lambda index: (not objections[index], sqnr_of(measured[index])))
    return f"{candidate.title}, because int8 there {objections[best] or _how_slow(speed, target)}"


def why_fallback(one: Measured, main: Measured) -> str:
    """Say what the fallback is for."""
    elsewhere = one.candidate.runtime != main.candidate.runtime
    where = "where the first runtime is missing" if elsewhere else "if int8 should fail in the field"
    return f"taken as the fallback, {where}"


def why_not(one: Measured, main: Measured, measured: Sequence[Measured], target: Target) -> str:
    """Say why a candidate that nothing speaks against is left."""
    this, best = one.candidate, main.candidate
    if this.runtime != best.runtime:
        return f"not taken: {target.name} prefers {best.runtime}, and a bundle holds two variants at most"
    if this.layers_in_float > best.layers_in_float > 0:
        return f"not taken: the chosen one is good enough with {best.layers_in_float} layers in float"
    if this.form == best.form:
        near = f"{sqnr_of(main):.1f} dB against {sqnr_of(one):.1f}"
        return f"not taken: of the same speed as the chosen one, which is nearer to the float model ({near})"
    if this.dtype == "int8":
        return f"not taken: int8 {_how_slow(int8_speed(this.runtime, measured, target), target)}"
    return "not taken: the main variant is as good, and the fallback is for another runtime"


def _how_fast(speed: Int8Speed, target: Target) -> str:
    if not speed.is_faster:
        return f"is the only form of the model there on {target.name}"
    if speed.predicted is not None:
        in_int8, in_float = map(milliseconds, speed.predicted)
        return f"takes {in_int8} on {target.name} and float32 {in_float}"
    return f"is put at {speed.published:g}x faster on {target.name}"


def _how_slow(speed: Int8Speed, target: Target) -> str:
    if speed.predicted is not None:
        in_int8, in_float = map(milliseconds, speed.predicted)
        return f"takes {in_int8} on {target.name}, and float32 {in_float}: it is not faster"
    if speed.published is not None:
        return f"is not faster on {target.name} ({speed.published:g}x)"
    return f"has no published speed-up on {target.name}"
