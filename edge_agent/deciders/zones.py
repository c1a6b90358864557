"""`zones`: a detector sees something in a zone of the picture -> the zone's action; nothing in any -> the clear one.

A zone's action ends when its zone was empty for `clear_s`. Boxes are read by the code that the compiler measured the
detector with; where several lie on one thing all count, for a weaker one may stand in the zone. A detector that sees
nothing looks like a blind one: whoever must not drive blind puts something else beside it (`obstacle`, by `all`).
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.boxes import Boxes, decode
from edge.errors import BadConfigError, BadInputContractError
from edge.manifest import Head
from edge_agent.deciders import SAFE, Decision, Inputs, action_index, index_of, second_action

DEFAULT_FLOOR = 0.5
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Corners = Annotated[tuple[tuple[Share, Share], ...], msgspec.Meta(min_length=3, max_length=64)]


class ZoneOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One zone."""

    corners: Corners
    """[x, y] as shares of the model's picture, [0, 0] at the upper left; the last corner joins the first."""
    labels: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    """What counts here."""
    action: str | None = None
    """By default the safe one."""


class Zones:
    """Options, labels and actions, bound together."""

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """How to read the output, and what to look for where."""

        boxes: Literal["yolo", "yolo-objectness", "fastestdet"] | None = None
        """Format of the first output; by default as the bundle says, which one compiled with --task detect does."""
        size: tuple[Annotated[float, msgspec.Meta(gt=0)], Annotated[float, msgspec.Meta(gt=0)]] = (1.0, 1.0)
        """With `boxes`: width and height of the model's picture, if the detector tells pixels; [1, 1] for shares."""
        floor: Share | None = None
        """Least score of a box; by default the bundle's, else 0.5."""
        names: tuple[str, ...] | None = None
        """What the detector's classes are called, in their order; by default the bundle's labels."""
        zones: Annotated[tuple[ZoneOptions, ...], msgspec.Meta(min_length=1, max_length=64)]
        """The first one in which something stands is obeyed."""
        foot: bool = True
        """A thing is where its box touches the ground, the middle of the lower edge; else where its middle is."""
        clear_s: Annotated[float, msgspec.Meta(ge=0, lt=3600)] = 0.5
        """How long all must be empty before a zone's action ends."""
        clear: str | None = None
        """Action of empty zones; by default the second one."""

    needs_sample = False

    def __init__(self, options: Options, labels: tuple[str, ...], actions: tuple[str, ...]) -> None:
        names = labels if options.names is None else options.names
        self._options, self._classes = options, len(names)
        self.needs_head = options.boxes is None
        self._head = None if options.boxes is None else Head(format=options.boxes, size=options.size)
        self.floor = DEFAULT_FLOOR if options.floor is None else options.floor
        self._bundle_labels = {index: labels.index(name) for index, name in enumerate(names) if name in labels}
        self._clear = action_index(options.clear or second_action(actions, "name one of them as `clear`"), actions)
        self._zones = [
            (
                np.array(zone.corners, np.float64),
                [index_of(label, names, "label") for label in zone.labels],
                SAFE if zone.action is None else action_index(zone.action, actions),
            )
            for zone in options.zones
        ]
        for corners, _, _ in self._zones:
            if abs(_area(corners)) < 1e-6:
                raise BadConfigError("decider: a zone has no area", remedy="give its corners in their order")
        self._last = SAFE
        self._clear_since_s = math.inf

    def decide(self, inputs: Inputs) -> Decision:
        """Look into every zone; starts safe, until all were empty for `clear_s`."""
        options = self._options
        outputs = (inputs.output, *inputs.others)
        if not all(np.isfinite(output).all() for output in outputs):
            self._last, self._clear_since_s = SAFE, math.inf
            return Decision(SAFE)
        boxes = self._read(outputs, inputs.head)
        found = self._first(boxes)
        if found is None:
            self._clear_since_s = min(self._clear_since_s, inputs.now_s)
            if inputs.now_s - self._clear_since_s >= options.clear_s:
                self._last = self._clear
            return Decision(self._last)
        self._last, self._clear_since_s = found.action, math.inf
        return found

    def _read(self, outputs: tuple[NDArray[np.float32], ...], head: Head | None) -> Boxes:
        """Decode, as the options or the bundle say."""
        head = self._head or head
        if head is None:
            raise BadConfigError("decider: the bundle says nothing of boxes", remedy="name the format in `boxes`")
        self.floor = head.floor if self._options.floor is None else self._options.floor
        try:
            return decode(head, outputs, self._classes, self.floor)
        except BadInputContractError as exc:
            raise BadConfigError(
                f"decider: {exc.problem}", remedy="correct `boxes` or `names`, or the labels of the bundle"
            ) from exc

    def _first(self, boxes: Boxes) -> Decision | None:
        """What stands in the first zone that is not empty, the surest first."""
        if not boxes.labels.size:
            return None
        left, top, right, bottom = boxes.corners.T
        points = np.stack([(left + right) / 2, bottom if self._options.foot else (top + bottom) / 2], axis=1)
        points = np.clip(points, 0.0, 1.0)  # a box may reach beyond the picture
        for corners, labels, action in self._zones:
            inside = np.isin(boxes.labels, labels) & contains(corners, points)
            if inside.any():
                best = int(np.argmax(np.where(inside, boxes.scores, -1.0)))
                label = self._bundle_labels.get(int(boxes.labels[best]), -1)
                return Decision(action, label, min(1.0, float(boxes.scores[best])))
        return None


def contains(corners: NDArray[np.float64], points: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which of `points` [n, 2] lie in the polygon `corners` [m, 2], or on its edge (within 1e-6).

    A ray to the right crosses the outline an odd number of times. Source: M. Shimrat, "Algorithm 112", CACM 5(8), 1962.
    """
    x, y = points[:, :1].astype(np.float64), points[:, 1:].astype(np.float64)
    x0, y0 = corners.T
    x1, y1 = np.roll(corners, -1, axis=0).T
    straddles = (y0 > y) != (y1 > y)
    across = (x1 - x0) * (y - y0) - (x - x0) * (y1 - y0)
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing_x = x0 + (y - y0) * (x1 - x0) / (y1 - y0)
    odd: NDArray[np.bool_] = (straddles & (x < crossing_x)).sum(axis=1) % 2 == 1
    near = np.abs(across) <= 1e-6 * np.hypot(x1 - x0, y1 - y0)
    between = (np.minimum(x0, x1) - 1e-6 <= x) & (x <= np.maximum(x0, x1) + 1e-6)
    between &= (np.minimum(y0, y1) - 1e-6 <= y) & (y <= np.maximum(y0, y1) + 1e-6)
    on_edge: NDArray[np.bool_] = (near & between).any(axis=1)
    return odd | on_edge


def _area(corners: NDArray[np.float64]) -> float:
    x, y = corners.T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)) / 2
