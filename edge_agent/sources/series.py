"""`series`: sensors as the model's input. `fps` times a second, the newest values of all become one row.

Rows become windows as the model's input contract says (`window`, `stride`). Where a sensor has said nothing for its
`max_age_ms`, there is no row, and the window starts anew: the model never sees a gap, nor values that stand still
because a cable is loose. This is the gateway: many weak sensors, batched by tick and joined by time.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from edge.errors import BadConfigError
from edge_agent.plugins import Nested, nearest
from edge_agent.sensors import Measured, make_sensor
from edge_agent.sensors.watch import Watch
from edge_agent.sources import Rows

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable


class Series:
    """Joins what its sensors said last."""

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Which sensors."""

        sensors: Annotated[tuple[Nested, ...], msgspec.Meta(min_length=1, max_length=64)]
        """Each with `kind` and its keys, as in the section `sensors`."""
        columns: tuple[str, ...] | None = None
        """The values of a row, in the order of the model's columns; by default all, in the order of the sensors."""
        max_age_ms: Annotated[float, msgspec.Meta(gt=0, lt=1e9)] = 1000.0
        """A value older than this is none."""
        hang_s: Annotated[float, msgspec.Meta(gt=0, lt=3600)] = 10.0
        """A sensor that neither delivers nor fails for so long ends the process, which is started again."""

    live = False

    def __init__(self, options: Options) -> None:
        self._options = options
        self._watches: list[Watch] = []
        self._last: dict[int, Measured] = {}
        self._picks: list[tuple[int, int]] = []
        """For each column of a row: which sensor, and which of its columns."""

    def open(self, width: int, height: int, fps: float) -> None:  # noqa: ARG002 - a row has the columns it has
        """Start a thread for each sensor; raises `BadConfigError` where a column does not exist, or exists twice."""
        sensors = [make_sensor(one.kind, one.options, Path(one.folder)) for one in self._options.sensors]
        places: dict[str, tuple[int, int]] = {}
        for index, sensor in enumerate(sensors):
            for column, name in enumerate(sensor.columns):
                if name in places:
                    raise BadConfigError(f"source: two sensors have a column {name!r}", remedy="rename one of them")
                places[name] = (index, column)
        for name in self._options.columns or ():
            if name not in places:
                raise BadConfigError(f"source: no sensor has a column {name!r}", remedy=nearest(name, places))
        self._picks = [places[name] for name in self._options.columns or places]
        self._last.clear()
        self._watches = [
            Watch(one.kind, sensor, self._options.hang_s, self._keeper(index))
            for index, (one, sensor) in enumerate(zip(self._options.sensors, sensors, strict=True))
        ]
        for watch in self._watches:
            watch.start()

    def read(self, frame: int) -> Rows:  # noqa: ARG002 - sensors show what is there
        """The row of this tick; none, and a gap, where a value is missing or too old."""
        import numpy as np

        now_ns = time.monotonic_ns()
        for watch in self._watches:
            watch.check(now_ns / 1e9)
        last = dict(self._last)  # the threads go on
        oldest_ns = now_ns - round(self._options.max_age_ms * 1e6)
        stale = [w for i, w in enumerate(self._watches) if i not in last or last[i].captured_ns < oldest_ns]
        if stale:
            trouble = "; ".join(f"{watch.name}: {watch.trouble or 'nothing new'}" for watch in stale)
            return Rows(np.empty((0, len(self._picks)), np.float32), now_ns, trouble)
        rows = [_last_row(last[i].values, len(w.columns)) for i, w in enumerate(self._watches)]
        return Rows(np.array([[rows[i][column] for i, column in self._picks]], np.float32), now_ns)

    def close(self) -> None:
        """End the threads."""
        for watch in self._watches:
            watch.end()
        self._watches = []

    def _keeper(self, index: int) -> Callable[[Measured], None]:
        def keep(measured: Measured) -> None:
            self._last[index] = measured

        return keep


def _last_row(values: array[float], columns: int) -> array[float]:
    return values[-columns:]
