"""Whether 8 bits are worth it: they cost accuracy, so they must at least be faster on that core and runtime."""

from dataclasses import dataclass

from edge.manifest import Latency


@dataclass(frozen=True, slots=True)
class Payoff:
    """Whether int8 is faster than float32, and the figures as a sentence."""

    pays: bool | None
    """None: nobody can say."""
    sentence: str


def int8_pays(int8: Latency | None, float_: Latency | None) -> Payoff:
    """Compare the two by their most likely time; overlapping intervals are named, not decided by."""
    if int8 is None or float_ is None:
        unknown = "int8" if int8 is None else "float32"
        return Payoff(None, f"whether int8 is faster cannot be said: no figure for {unknown} on this core and runtime")
    gain = float_.ms / int8.ms
    where = f"on {int8.core} with {int8.runtime}"
    if float_.runtime != int8.runtime:
        where = f"on {int8.core}, {int8.runtime} against {float_.runtime}"
    verdict = "int8 is faster" if gain > 1 else "int8 is not faster, so it would only cost accuracy"
    overlap = int8.low <= float_.high and float_.low <= int8.high
    doubt = "; the intervals overlap" if overlap else ""
    return Payoff(
        gain > 1, f"{verdict} {where}: {gain:.2f}x, {_figure(int8)} against {_figure(float_)} in float{doubt}"
    )


def _figure(latency: Latency) -> str:
    return f"{latency.ms:.3g} ms ({latency.low:.3g} to {latency.high:.3g}, {latency.kind})"
