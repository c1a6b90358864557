"""Every integer plan that a study may try on one runtime, and the parameters by which a sampler finds them. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, product
from typing import Protocol, TypeVar, get_args

from compiler.plan import PERCENTILE, Activations, Pass, Plan, Ranges
from edge.manifest import Precision, RuntimeName

PERCENTS = (99.0, 99.5, 99.9, 99.95, PERCENTILE, 99.995, 99.999, 99.9999)
PASSES: tuple[Pass, ...] = ("equalize", "split-outputs", "correct-bias")
"""In the order in which they are tried; of a network with a state after `float-state`."""
Setting = str | int | bool
T = TypeVar("T", str, bool)


class Suggest(Protocol):
    """Chooses one parameter after the other; an `optuna.Trial` does."""

    def suggest_categorical(self, name: str, choices: Sequence[T]) -> T:
        """Choose one of these."""

    def suggest_int(self, name: str, low: int, high: int) -> int:
        """Choose a whole number from `low` to `high`."""


@dataclass(frozen=True, slots=True)
class Space:
    """What may be varied. A parameter that has one value only is none, and is left out."""

    runtime: RuntimeName
    activations: tuple[Activations, ...]
    mixes: tuple[tuple[str, ...], ...] = ()
    """Layers that a mixed plan keeps in float, the costliest ones first: one set with 1 of them, one with 2, and so on;
    empty: no mixed plans."""
    passes: tuple[Pass, ...] = PASSES

    def draw(self, suggest: Suggest) -> Plan:
        """Let a sampler choose a plan; half of its first guesses are int8, however many mixed plans there are."""
        ranges: Ranges = suggest.suggest_categorical("ranges", get_args(Ranges))  # type: ignore[assignment]
        step = suggest.suggest_int("percent_step", 0, len(PERCENTS) - 1) if ranges == "percentile" else None
        several = len(self.activations) > 1
        kind = suggest.suggest_categorical("activations", self.activations) if several else self.activations[0]
        kept = [suggest.suggest_categorical(name, (True, False)) for name in self.passes]
        mixed = bool(self.mixes) and suggest.suggest_categorical("mixed", (False, True))
        count = suggest.suggest_int("float_layers", 1, len(self.mixes)) if mixed else 0
        passes = tuple(compress(self.passes, kept))
        return self._plan(ranges, PERCENTILE if step is None else PERCENTS[step], kind, passes, count)  # type: ignore[arg-type]

    def settings(self, plan: Plan) -> Mapping[str, Setting] | None:
        """Return the parameters by which `draw` makes this plan; None if it never does."""
        if plan not in set(self.plans()):
            return None
        found: dict[str, Setting] = {"ranges": plan.ranges}
        if plan.ranges == "percentile":
            found["percent_step"] = PERCENTS.index(plan.percent)
        if len(self.activations) > 1:
            found["activations"] = plan.activations
        found |= {name: name in plan.passes for name in self.passes}
        if self.mixes:
            found["mixed"] = bool(plan.keep_float)
        if plan.keep_float:
            found["float_layers"] = self.mixes.index(plan.keep_float) + 1
        return found

    def plans(self) -> Iterator[Plan]:
        """List all there are: some hundreds."""
        kinds: list[tuple[Ranges, float]] = [(one, PERCENTILE) for one in get_args(Ranges) if one != "percentile"]
        kinds += [("percentile", percent) for percent in PERCENTS]
        switches = product((True, False), repeat=len(self.passes))
        for kept, (ranges, percent), activations in product(switches, kinds, self.activations):
            for count in range(len(self.mixes) + 1):
                yield self._plan(ranges, percent, activations, tuple(compress(self.passes, kept)), count)

    def _plan(
        self, ranges: Ranges, percent: float, activations: Activations, passes: tuple[Pass, ...], count: int
    ) -> Plan:
        keep_float = self.mixes[count - 1] if count else ()
        precision: Precision = "mixed" if keep_float else "int8"
        return Plan(self.runtime, precision, activations, ranges, passes, keep_float, percent)
