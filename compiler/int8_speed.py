"""Whether int8 is faster than float on a runtime of the target: by both predictions, else as published."""

from collections.abc import Sequence
from dataclasses import dataclass

from compiler.measure import Measured
from edge.manifest import Latency, RuntimeName
from edge.target import Target


@dataclass(frozen=True, slots=True)
class Int8Speed:
    """What is known of int8 and float32 on one runtime."""

    predicted: tuple[Latency, Latency] | None
    """Of int8 and of float32; None where not both were predicted."""
    published: float | None
    """How much faster int8 is; None where nobody has published it."""

    @property
    def is_faster(self) -> bool:
        """Predictions count more than what was published; where nothing is known it is not."""
        if self.predicted is not None:
            return self.predicted[0].ms < self.predicted[1].ms
        return (self.published or 0.0) > 1.0


def int8_speed(runtime: RuntimeName, measured: Sequence[Measured], target: Target) -> Int8Speed:
    """Gather what is known."""
    on_runtime = [one for one in measured if one.candidate.runtime == runtime]
    times = {one.candidate.dtype: one.predicted for one in on_runtime if one.predicted is not None}
    published = target.speedup(runtime)
    return Int8Speed(
        predicted=(times["int8"], times["float32"]) if times.keys() >= {"int8", "float32"} else None,
        published=published.factor if published else None,
    )
