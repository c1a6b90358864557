"""`anomaly`: the error of a reconstruction or a forecast against what is usual here -> safe; the usual -> the other.

No labels set the threshold: it is `factor` robust standard deviations (1.4826 MAD) above the median of the logarithm of
the last errors, and never below `least_ratio` times the usual error. Memory is bounded. Errors above the threshold are
not learned, so a long anomaly does not become the usual.
Source: B. Iglewicz and D. Hoaglin, "How to Detect and Handle Outliers", ASQC, 1993 (median and MAD instead of moments).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from edge.errors import BadConfigError
from edge_agent.deciders import SAFE, Decision, Inputs, action_index, second_action

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Count = Annotated[int, msgspec.Meta(ge=1, le=100_000)]
LEAST_ERROR = 1e-12
"""Keeps the logarithm of a perfect reconstruction finite."""


class Anomaly:
    """Options and actions, bound together."""

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """What is compared, and what counts as unusual."""

        compare: Literal["reconstruction", "forecast"] = "reconstruction"
        """The output with the input of the same frame; or with the last values of the *next* frame's input."""
        factor: Annotated[float, msgspec.Meta(gt=0, lt=1000)] = 6.0
        least_ratio: Annotated[float, msgspec.Meta(ge=1, lt=1000)] = 1.5
        memory: Annotated[int, msgspec.Meta(ge=16, le=100_000)] = 1000
        """Errors that are remembered."""
        warm_up: Count = 200
        """Errors before the first judgement."""
        warm_up_action: str | None = None
        """Until then; by default the safe one."""
        confirm: Count = 3
        """Unusual frames one after the other that make an anomaly."""
        release: Count = 10
        """Usual frames one after the other that end it."""
        usual: str | None = None
        """Action while all is as usual; by default the second one."""
        learn: Literal["usual", "all"] = "usual"
        """"all": every error is learned, so what lasts for half of `memory` becomes the usual."""

    needs_sample = True
    floor = 0.5
    """A score below says that the error lies above the threshold."""

    def __init__(self, options: Options, labels: tuple[str, ...], actions: tuple[str, ...]) -> None:  # noqa: ARG002
        if options.warm_up > options.memory:
            raise BadConfigError("decider: warm_up is longer than memory", remedy="make memory larger")
        from edge.score import mean_square_error  # numpy: the supervisor, too, reads options

        self._compare = mean_square_error
        self._forecast = options.compare == "forecast"
        self._usual = action_index(options.usual or second_action(actions, "name one of them as `usual`"), actions)
        self._warming = SAFE if options.warm_up_action is None else action_index(options.warm_up_action, actions)
        self._threshold = Threshold(options.factor, options.least_ratio, options.memory, options.warm_up)
        self._alarm = Alarm(options.confirm, options.release)
        self._learn_all = options.learn == "all"
        self._foretold: NDArray[np.float32] | None = None

    def decide(self, inputs: Inputs) -> Decision:
        """Judge one error; its score is threshold / (threshold + error)."""
        error = self._error(inputs)
        if error is None:
            return Decision(self._warming)
        limit = self._threshold.value()
        unusual = not error <= limit  # "not <=" so that NaN is unusual
        if math.isfinite(error) and (self._learn_all or not unusual):
            self._threshold.learn(error)
        if limit == math.inf:
            return Decision(self._warming if math.isfinite(error) else SAFE)
        alarm = self._alarm.step(unusual=unusual)
        return Decision(SAFE if alarm else self._usual, score=limit / (limit + error) if math.isfinite(error) else 0.0)

    def _error(self, inputs: Inputs) -> float | None:
        """Mean square error, infinite for what is not finite; None when there is nothing to compare with yet."""
        if inputs.sample is None:
            raise ValueError("needs_sample was not heeded")
        seen, output = inputs.sample.ravel(), inputs.output.ravel()
        told = output
        if self._forecast:
            previous, self._foretold = self._foretold, output.copy()
            if previous is None:
                return None
            told, seen = previous, seen[-previous.size :]
        if told.size != seen.size:
            raise BadConfigError(
                f"decider: the model's output has {told.size} values, its input {seen.size}",
                remedy="use a model that reconstructs its input, or `compare: forecast`",
            )
        return self._compare(told, seen)


@dataclass(slots=True)
class Threshold:
    """A bound on errors from the last ones; infinite until `warm_up` of them are known."""

    factor: float
    least_ratio: float
    memory: int
    warm_up: int
    _logs: list[float] = field(default_factory=list)
    _next: int = 0
    _value: float = math.inf
    _stale: int = 0

    def learn(self, error: float) -> None:
        """Remember an error; the oldest one is forgotten when the memory is full."""
        log = math.log(max(error, LEAST_ERROR))
        if len(self._logs) < self.memory:
            self._logs.append(log)
        else:
            self._logs[self._next] = log
            self._next = (self._next + 1) % self.memory
        self._stale += 1

    def value(self) -> float:
        """The bound. It is worked out anew only when 2 % of what is remembered has changed: a median costs time."""
        if len(self._logs) < self.warm_up:
            return math.inf
        if self._value == math.inf or self._stale > len(self._logs) // 50:
            self._value, self._stale = self._work_out(), 0
        return self._value

    def _work_out(self) -> float:
        import numpy as np

        logs = np.asarray(self._logs)
        median = float(np.median(logs))
        spread = 1.4826 * float(np.median(np.abs(logs - median)))
        return math.exp(median + max(math.log(self.least_ratio), self.factor * spread))


@dataclass(slots=True)
class Alarm:
    """Raised by `confirm` unusual frames in a row, ended by `release` usual ones."""

    confirm: int
    release: int
    raised: bool = False
    _streak: int = 0

    def step(self, *, unusual: bool) -> bool:
        """Take one frame; returns whether the alarm is raised."""
        self._streak = self._streak + 1 if unusual != self.raised else 0
        if self._streak >= (self.release if self.raised else self.confirm):
            self.raised, self._streak = not self.raised, 0
        return self.raised
