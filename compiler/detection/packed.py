"""Boxes of many pictures in one array, so that samples of a detector are drawn and split like any others."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from edge.boxes import LEAST_SCORE, MOST_BOXES, Boxes, detect, parts_of
from edge.manifest import Head

Real = NDArray[np.float32]
FIELDS = 6
"""Of a found box: score, label, left, top, right, bottom. Of a true one: label, left, top, right, bottom, crowd."""
NOTHING = -1.0
"""Score of a row without a found box, label of one without a true box."""


@dataclass(frozen=True, slots=True)
class BoxReader:
    """Reads what one detector says."""

    head: Head
    labels: int
    shapes: tuple[tuple[int, ...], ...]
    """Of all outputs, in the model's order."""

    def values(self, outputs: Sequence[Real]) -> Real:
        """Found boxes of one picture, packed and flat: MOST_BOXES rows of FIELDS numbers."""
        return pack_found(detect(self.head, outputs, self.labels, LEAST_SCORE))

    def parts(self) -> dict[str, NDArray[np.intp]]:
        """Where in the flattened outputs each part lies, by name: `boxes`, `scores`, sometimes others."""
        ends = np.cumsum([prod(shape) for shape in self.shapes])
        places = [
            np.arange(end - prod(shape), end).reshape(shape) for end, shape in zip(ends, self.shapes, strict=True)
        ]
        return {name: part.ravel() for name, part in parts_of(self.head, places, self.labels).items()}


def pack_found(boxes: Boxes) -> Real:
    """[MOST_BOXES * FIELDS], the surest first."""
    rows = np.full((MOST_BOXES, FIELDS), NOTHING, np.float32)
    count = min(len(boxes.scores), MOST_BOXES)
    rows[:count, 0], rows[:count, 1] = boxes.scores[:count], boxes.labels[:count]
    rows[:count, 2:] = boxes.corners[:count]
    return rows.ravel()


def unpack_found(values: Real, floor: float = 0.0) -> Boxes:
    """Boxes of one picture with at least `floor`."""
    rows = values.reshape(-1, FIELDS)
    rows = rows[rows[:, 0] >= max(floor, 0.0)]
    return Boxes(rows[:, 2:], rows[:, 1].astype(np.intp), rows[:, 0])


def pack_truth(pictures: Sequence[Real]) -> Real:
    """[pictures, most boxes of one, FIELDS] of arrays [boxes, FIELDS]."""
    most = max([len(one) for one in pictures], default=0)
    packed = np.full((len(pictures), max(1, most), FIELDS), NOTHING, np.float32)
    for place, one in zip(packed, pictures, strict=True):
        place[: len(one)] = one
    return packed


def unpack_truth(rows: Real) -> Real:
    """[boxes, FIELDS] of one picture."""
    found: Real = rows[rows[:, 0] >= 0]
    return found


def assumed_truth(values: Real, floor: float) -> Real:
    """What a model itself sees, as truth for another one: [pictures, most, FIELDS]."""
    pictures = []
    for row in values:
        seen = unpack_found(row, floor)
        crowd = np.zeros((len(seen.scores), 1), np.float32)
        pictures.append(np.concatenate([seen.labels[:, None].astype(np.float32), seen.corners, crowd], axis=1))
    return pack_truth(pictures)
