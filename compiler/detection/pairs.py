"""Do two models see the same things? Their boxes are paired off, label by label, the surest first."""

import numpy as np
from numpy.typing import NDArray

from compiler.detection.packed import Real, unpack_found
from edge.boxes import Boxes, overlaps

SAME_PLACE = 0.5
"""Intersection over union from which two boxes are of one thing. Source: M. Everingham et al., "The PASCAL Visual
Object Classes Challenge", 2010."""


def agreement(before: Real, after: Real, floor: float, slack: float = 0.0) -> float:
    """Share of the boxes that either model sees which the other one has, too; 1 where none sees any.

    Without slack that is 2 pairs / (boxes of the one + boxes of the other), Dice's coefficient.

    Args:
        before: [pictures, k], found boxes of the one model, packed.
        after: of the other.
        floor: a box is seen from this score on.
        slack: the partner of a seen box may score so much less than the floor.

    """
    shared = boxes = 0
    for one, other in zip(before, after, strict=True):
        for some, others in ((one, other), (other, one)):
            seen = unpack_found(some, floor)
            shared += int(paired(seen, unpack_found(others, floor - slack)).sum())
            boxes += len(seen.scores)
    return shared / boxes if boxes else 1.0


def differs(before: Real, after: Real, floor: float) -> NDArray[np.bool_]:
    """In which pictures one model sees what the other does not, [pictures]."""
    found = []
    for one, other in zip(before, after, strict=True):
        first, second = unpack_found(one, floor), unpack_found(other, floor)
        found.append(len(first.scores) != len(second.scores) or not paired(first, second).all())
    return np.array(found, bool)


def paired(some: Boxes, others: Boxes) -> NDArray[np.bool_]:
    """Which of `some`, the surest first, find a free partner of the same label in the same place among `others`."""
    shares = np.where(some.labels[:, None] == others.labels[None], overlaps(some.corners, others.corners), 0.0)
    found = np.zeros(len(some.scores), bool)
    for index in range(len(found)):
        if shares.shape[1] and shares[index].max() >= SAME_PLACE:
            found[index] = True
            shares[:, int(shares[index].argmax())] = 0.0
    return found
