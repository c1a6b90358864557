"""`classify`: a label that means go, seen surely and without a break for `hold_s` -> go. Everything else -> safe.

Hysteresis: going begins at `floor` and goes on down to `floor_release`, so a score that trembles at the floor does not
make the machine tremble.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import msgspec

from edge.errors import BadConfigError
from edge_agent.deciders import SAFE, TOP1, Decision, action_index, index_of, second_action

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Score = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Classify:
    """Options, labels and actions, bound together."""

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """When to act."""

        go: dict[str, str] | tuple[str, ...]
        """Labels that mean the second action; or {label: action}, where there are more than two actions."""
        floor: Score = 0.8
        """Least score that counts as seen."""
        floor_release: Score | None = None
        """Least score that keeps a held label held; by default `floor`."""
        hold_s: Annotated[float, msgspec.Meta(ge=0, lt=3600)] = 0.3
        """How long a label must be seen without a break before its action is chosen."""
        max_gap_s: Annotated[float, msgspec.Meta(gt=0, lt=3600)] = 0.5
        """Frames further apart than this are a break."""

    score_of = TOP1

    def __init__(self, options: Options, labels: tuple[str, ...], actions: tuple[str, ...]) -> None:
        wanted = options.go
        if not isinstance(wanted, dict):
            wanted = dict.fromkeys(wanted, second_action(actions, "write go: {label: action}"))
        self._actions = {index_of(label, labels, "label"): action_index(a, actions) for label, a in wanted.items()}
        release = options.floor if options.floor_release is None else options.floor_release
        if release > options.floor:
            raise BadConfigError("decider: floor_release lies above floor", remedy="make it lower, or leave it out")
        from edge.statistics import softmax_top1  # numpy: the supervisor, too, reads options

        self._top1 = softmax_top1
        self.floor = options.floor
        self._hold = Hold(options.floor, release, options.hold_s, options.max_gap_s)

    def step(self, output: NDArray[np.float32], now_s: float) -> Decision:
        """Decide: the label's action once it has held, else the safe one."""
        label, score = self._top1(output)
        held = self._hold.step(label if label in self._actions else None, score, now_s)
        return Decision(self._actions[label] if held else SAFE, label, score)


@dataclass(slots=True)
class Hold:
    """Says whether one label has been seen surely, and without a break, for `hold_s` seconds."""

    floor: float
    release: float
    hold_s: float
    max_gap_s: float = math.inf
    _label: int | None = None
    _since_s: float = 0.0
    _last_s: float = 0.0
    _held: bool = False

    def step(self, label: int | None, score: float, now_s: float) -> bool:
        """Take one frame. `label` None: nothing that could be held; time that runs backwards is a break."""
        floor = self.release if self._held else self.floor
        if label is None or not score >= floor:  # "not >=" so that NaN is unsure
            self._label, self._held = None, False
            return False
        if label != self._label or not 0 <= now_s - self._last_s <= self.max_gap_s:
            if not score >= self.floor:  # another label does not inherit the lower floor
                self._label, self._held = None, False
                return False
            self._label, self._since_s, self._held = label, now_s, False
        self._last_s = now_s
        self._held = self._held or now_s - self._since_s >= self.hold_s
        return self._held
