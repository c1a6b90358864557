"""`limits`: a value of a sensor within its limits for `hold_s` -> go. Outside, or not known -> safe.

For a door switch, an emergency stop or a pressure beside the model; usually a part of `all` or `priority`.
"""

from __future__ import annotations

import math
from typing import Annotated

import msgspec

from edge.errors import BadConfigError
from edge_agent.deciders import NOTHING, SAFE, Decision, Inputs, action_index, second_action


class Limits:
    """Options and actions, bound together."""

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Which value, and between what."""

        sensor: str
        """Name of one of `sensors`."""
        column: Annotated[int, msgspec.Meta(ge=0, lt=4000)] = 0
        """Which value of its row, the first one being 0."""
        low: float = -math.inf
        high: float = math.inf
        hold_s: Annotated[float, msgspec.Meta(ge=0, lt=3600)] = 0.0
        """How long it must lie within the limits."""
        go: str | None = None
        """Action within the limits; by default the second one."""

    needs_sample = False
    floor = 0.0
    score_of = NOTHING

    def __init__(self, options: Options, labels: tuple[str, ...], actions: tuple[str, ...]) -> None:  # noqa: ARG002
        if not options.low <= options.high:
            raise BadConfigError("decider: low lies above high", remedy="exchange them")
        self._options = options
        self._go = action_index(options.go or second_action(actions, "name one of them as `go`"), actions)
        self._since_s = math.inf

    def decide(self, inputs: Inputs) -> Decision:
        """Look at the newest reading. Time that runs backwards starts the hold anew."""
        options, reading = self._options, inputs.readings.get(self._options.sensor)
        if reading is None or not len(reading.values):
            self._since_s = math.inf
            return Decision(SAFE)
        if options.column >= reading.values.shape[1]:
            raise BadConfigError(
                f"decider: sensor {options.sensor!r} has no column {options.column}",
                remedy=f"count from 0 to {reading.values.shape[1] - 1}",
            )
        if not options.low <= float(reading.values[-1, options.column]) <= options.high:  # NaN is outside
            self._since_s = math.inf
            return Decision(SAFE)
        self._since_s = min(self._since_s, inputs.now_s)
        return Decision(self._go if inputs.now_s - self._since_s >= options.hold_s else SAFE)
