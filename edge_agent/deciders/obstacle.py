"""`obstacle`: something near, or coming near fast, in a sector of a lidar -> safe. A clear way -> the other action.

Distance: the nearest return in the sector. Time to collision: that distance, divided by the speed at which it shrank
over the last scans (least squares, so that one noisy scan does not brake). Hysteresis: what stopped for a distance
below `stop_m` goes again only above `clear_m`, and only after the way was clear for `hold_s`.
No scan, or a scan that sees too little of the sector: safe.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import msgspec

from edge.errors import BadConfigError
from edge_agent.deciders import NOTHING, SAFE, Decision, Inputs, action_index, second_action

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Metres = Annotated[float, msgspec.Meta(gt=0, lt=1000)]
Seconds = Annotated[float, msgspec.Meta(ge=0, lt=3600)]
Degrees = Annotated[float, msgspec.Meta(ge=-360, le=360)]
Count = Annotated[int, msgspec.Meta(ge=0, le=10_000)]
SCANS = 5
"""Over which the speed is measured: about a second of a lidar that turns at 5.5 Hz."""


class Obstacle:
    """Options and actions, bound together."""

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Where to look, and when to stop."""

        sensor: str
        """Name of the lidar among `sensors`; its columns are an angle in degrees and a distance in metres."""
        towards_deg: Degrees = 0.0
        """Middle of the sector, in the lidar's own angles."""
        width_deg: Annotated[float, msgspec.Meta(gt=0, le=360)] = 40.0
        stop_m: Metres = 0.5
        clear_m: Metres | None = None
        """By default 1.2 times `stop_m`."""
        stop_s: Seconds = 1.0
        """Least time to collision; 0 looks at the distance alone."""
        hold_s: Seconds = 0.5
        min_returns: Count = 3
        """A scan with fewer returns in the sector saw nothing, and nothing is no clear way. 0 trusts an empty sector,
        as a lidar in the open needs."""
        blind_m: Metres = 0.05
        """Nearer than this, a distance is no return but an error: lidars say 0, or a code of a few millimetres."""
        ignore_nearest: Count = 0
        """So many nearest returns are taken for noise."""
        go: str | None = None
        """Action of a clear way; by default the second one."""

    needs_sample = False
    floor = 0.0
    score_of = NOTHING

    def __init__(self, options: Options, labels: tuple[str, ...], actions: tuple[str, ...]) -> None:  # noqa: ARG002
        self._options = options
        clear_m = 1.2 * options.stop_m if options.clear_m is None else options.clear_m
        if clear_m < options.stop_m:
            raise BadConfigError("decider: clear_m lies below stop_m", remedy="make it larger, or leave it out")
        self._go = action_index(options.go or second_action(actions, "name one of them as `go`"), actions)
        self._way = Way(options.stop_m, clear_m, options.stop_s, options.hold_s)
        self._last_ns = -1

    def decide(self, inputs: Inputs) -> Decision:
        """Take the newest scan; one that was seen before only confirms what it led to."""
        reading = inputs.readings.get(self._options.sensor)
        if reading is None:
            self._way.lose()
            return Decision(SAFE)
        if reading.captured_ns != self._last_ns:
            self._last_ns = reading.captured_ns
            self._way.step(self._nearest_m(reading.values), reading.captured_ns / 1e9)
        return Decision(self._go if self._way.clear else SAFE)

    def _nearest_m(self, scan: NDArray[np.float32]) -> float | None:
        """Distance of what is nearest in the sector: None if the scan saw too little, infinity if nothing is there."""
        options = self._options
        off_deg = (scan[:, 0] - options.towards_deg + 180.0) % 360.0 - 180.0
        distances = scan[(abs(off_deg) <= options.width_deg / 2) & (scan[:, 1] >= options.blind_m), 1]
        if distances.size < options.min_returns:
            return None
        distances.sort()
        return float(distances[options.ignore_nearest]) if distances.size > options.ignore_nearest else math.inf


@dataclass(slots=True)
class Way:
    """Whether the way is clear, from one distance a scan. Metres and seconds; starts blocked."""

    stop_m: float
    clear_m: float
    stop_s: float
    hold_s: float
    clear: bool = False
    _clear_since_s: float | None = None
    _track: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=SCANS))

    def lose(self) -> None:
        """Nothing is known any more."""
        self.clear, self._clear_since_s = False, None
        self._track.clear()

    def step(self, nearest_m: float | None, now_s: float) -> None:
        """Take the nearest distance of one scan; None or NaN: it saw too little."""
        if nearest_m is None or math.isnan(nearest_m):
            self.lose()
            return
        if self._track and now_s <= self._track[-1][0]:
            self._track.clear()  # time that runs backwards: another sensor, or a recording that begins again
        self._track.append((now_s, nearest_m))
        limit_m = self.stop_m if self.clear else self.clear_m
        if nearest_m < limit_m or self.time_to_collision_s() < self.stop_s:
            self.clear, self._clear_since_s = False, None
            return
        if self._clear_since_s is None or now_s < self._clear_since_s:
            self._clear_since_s = now_s
        self.clear = self.clear or now_s - self._clear_since_s >= self.hold_s

    def time_to_collision_s(self) -> float:
        """Nearest distance over closing speed; infinity while it does not close, or before the second scan.

        The speed is the larger of that of the last two scans and of the least squares line through all: a thing that
        steps into the way is not averaged away, and one that comes slowly is not lost in the noise.
        """
        track = [(t, d) for t, d in self._track if d < math.inf]
        if len(track) < 2 or self._track[-1][1] == math.inf:
            return math.inf
        (t0, d0), (t1, d1) = track[-2:]
        speed = max(-(d1 - d0) / (t1 - t0), -_slope(track))
        return d1 / speed if speed > 0 else math.inf


def _slope(track: list[tuple[float, float]]) -> float:
    """Least squares slope of distance by time, metres a second."""
    n = len(track)
    mean_t, mean_d = sum(t for t, _ in track) / n, sum(d for _, d in track) / n
    return sum((t - mean_t) * (d - mean_d) for t, d in track) / sum((t - mean_t) ** 2 for t, _ in track)
