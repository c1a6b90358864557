"""Which found boxes are right: matched picture by picture, once; then ranked, however often pictures are drawn again.

Each found box, the surest first, takes the true box of its label that it overlaps most, if that is free. What lies on a
crowd counts neither for nor against. Source: T.-Y. Lin et al., "Microsoft COCO: Common Objects in Context", 2014, and
the evaluation code that belongs to it (pycocotools 2.0), with which the results agree (tested).
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from compiler.detection.packed import Real, unpack_found, unpack_truth
from edge.boxes import overlaps

Flags = NDArray[np.bool_]
Counts = NDArray[np.int64]
NEARLY_ONE = 1 - 1e-10
"""The largest overlap that can be asked for. Source: pycocotools, COCOeval.evaluateImg."""


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """Found boxes of all pictures, only of labels that the truth has; ordered by picture, then by score."""

    picture: Counts = field(repr=False)
    """[boxes]"""
    label: Counts = field(repr=False)
    """[boxes]: place in `labels`."""
    score: NDArray[np.float64] = field(repr=False)
    right: Flags = field(repr=False)
    """[boxes, thresholds]: matched with a true box."""
    ignored: Flags = field(repr=False)
    """[boxes, thresholds]: lies on a crowd."""
    true: Counts = field(repr=False)
    """[pictures, labels]: how many true boxes there are to find."""
    labels: Counts = field(repr=False)
    """[labels]: label numbers, ascending."""


def match(values: Real, truth: Real, thresholds: tuple[float, ...]) -> Matches:
    """Match found with true boxes.

    Args:
        values: [pictures, k]: found boxes as `pack_found` packs them.
        truth: [pictures, most, 6]: true boxes as `pack_truth` packs them.
        thresholds: least intersections over union.

    """
    labels = np.unique(truth[..., 0][truth[..., 0] >= 0]).astype(np.int64)
    true = np.zeros((len(truth), len(labels)), np.int64)
    rows: list[tuple[int, int, float]] = []
    right, ignored = [np.zeros((0, len(thresholds)), bool)], [np.zeros((0, len(thresholds)), bool)]
    for picture, (found_row, true_row) in enumerate(zip(values, truth, strict=True)):
        found, wanted = unpack_found(found_row), unpack_truth(true_row)
        for at in np.flatnonzero(np.isin(labels, np.concatenate([found.labels, wanted[:, 0]]))):
            mine, theirs = found.labels == labels[at], wanted[wanted[:, 0] == labels[at]]
            crowd = theirs[:, 5] > 0
            true[picture, at] = int((~crowd).sum())
            both = _match_label(found.corners[mine], theirs[:, 1:5], crowd, thresholds)
            rows += [(picture, int(at), float(score)) for score in found.scores[mine]]
            right.append(both[0])
            ignored.append(both[1])
    table = np.array(rows, np.float64).reshape(-1, 3)
    return Matches(
        picture=table[:, 0].astype(np.int64),
        label=table[:, 1].astype(np.int64),
        score=table[:, 2],
        right=np.concatenate(right),
        ignored=np.concatenate(ignored),
        true=true,
        labels=labels,
    )


def _match_label(found: Real, true: Real, crowd: Flags, thresholds: tuple[float, ...]) -> tuple[Flags, Flags]:
    """Match boxes of one picture and label; returns right and ignored, [found, thresholds]."""
    right, ignored = (np.zeros((len(found), len(thresholds)), bool) for _ in range(2))
    if not len(found) or not len(true):
        return right, ignored
    least = np.minimum(np.array(thresholds), NEARLY_ONE)
    real = overlaps(found, true[~crowd])
    on_crowd = _covered(found, true[crowd]).max(axis=1, initial=0.0)
    free = np.ones((len(thresholds), real.shape[1]), bool)
    every = np.arange(len(thresholds))
    for index in range(len(found)):
        if real.shape[1]:
            shares = np.where(free, real[index], -1.0)
            best = shares.shape[1] - 1 - shares[:, ::-1].argmax(axis=1)  # of equal ones the last, as the source does
            right[index] = shares[every, best] >= least
            free[every[right[index]], best[right[index]]] = False
        ignored[index] = ~right[index] & (on_crowd[index] >= least)
    return right, ignored


def _covered(some: Real, crowds: Real) -> NDArray[np.float64]:
    """Share of each of `some` [n, 4] that lies on each crowd [m, 4]."""
    a, b = some.astype(np.float64)[:, None], crowds.astype(np.float64)[None]
    both = np.maximum(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0.0).prod(axis=-1)
    own = np.broadcast_to((a[..., 2:] - a[..., :2]).prod(axis=-1), both.shape)
    shares: NDArray[np.float64] = np.divide(both, own, out=np.zeros_like(both), where=own > 0)
    return shares
