"""Average precision of matched boxes, with a weight for each picture: 2,000 draws of them need no second matching.

Precision only rises at right boxes, so only those are looked at: everything is a few cumulative sums over them.
"""

import numpy as np
from numpy.typing import NDArray

from compiler.detection.matching import Counts, Matches

Numbers = NDArray[np.float64]
RECALLS = np.linspace(0.0, 1.0, 101)
"""Recalls at which precision is read. Source: COCO's evaluation."""


class Ranking:
    """Right boxes of every (label, threshold), ranked by score.

    An event is a right box at one threshold; a group is one label at one threshold. Groups are numbered label by label.
    """

    def __init__(self, matches: Matches) -> None:
        self.labels, self.thresholds = len(matches.labels), matches.right.shape[1]
        order = np.lexsort((-matches.score, matches.label))  # stable: equal scores stay in the order of the pictures
        label, right, ignored = matches.label[order], matches.right[order], matches.ignored[order]
        self._true = matches.true
        self._pictures = matches.picture[order]
        self._begin = np.searchsorted(label, np.arange(self.labels))
        events = [
            (box, threshold) for threshold in range(self.thresholds) for box in np.flatnonzero(right[:, threshold])
        ]
        box, threshold = np.array(events, np.int64).reshape(-1, 2).T
        group = label[box] * self.thresholds + threshold
        inside = np.lexsort((box, group))
        self._box, self._threshold, self._group = box[inside], threshold[inside], group[inside]
        self._first = np.searchsorted(self._group, np.arange(self.labels * self.thresholds))
        self._ignored = ignored if ignored.any() else None

    def precisions(self, weights: Counts) -> Numbers:
        """Average precision [labels, thresholds] with each picture counted so often; NaN of a label not in them."""
        weight = weights[self._pictures].astype(np.float64)
        true = weights @ self._true
        hits = self._in_group(np.cumsum(weight[self._box]), self._first, self._group)
        ranked = self._ranked(weight)
        precision = np.divide(hits, ranked, out=np.zeros_like(hits), where=ranked > 0)
        recall = hits / np.maximum(true, 1)[self._group // self.thresholds]
        reached = np.searchsorted(RECALLS, recall, side="right")
        before = np.concatenate([[0], reached[:-1]])
        before[self._first[self._first < len(before)]] = 0
        area = np.bincount(
            self._group, self._best_from_here(precision) * (reached - before), self.labels * self.thresholds
        ).reshape(self.labels, self.thresholds)
        area = area.astype(np.float64)  # whole numbers, where there is no event
        area[true == 0] = np.nan
        means: Numbers = area / len(RECALLS)
        return means

    def _ranked(self, weight: Numbers) -> Numbers:
        """Of each event: boxes of its label down to it, without those on a crowd."""
        sums = np.concatenate([[0.0], np.cumsum(weight)])
        begin = self._begin[self._group // self.thresholds]
        count: Numbers = sums[self._box + 1] - sums[begin]
        if self._ignored is not None:
            left_out = np.concatenate(
                [np.zeros((1, self.thresholds)), np.cumsum(self._ignored * weight[:, None], axis=0)]
            )
            count = count - (left_out[self._box + 1, self._threshold] - left_out[begin, self._threshold])
        return count

    def _in_group(self, sums: Numbers, first: Counts, group: Counts) -> Numbers:
        """Cumulative sums that begin anew in each group."""
        padded = np.concatenate([[0.0], sums])
        begun: Numbers = sums - padded[first[group]]
        return begun

    def _best_from_here(self, precision: Numbers) -> Numbers:
        """The best precision at this event or a later one of its group: groups are kept apart by steps of 2."""
        apart = precision - 2.0 * self._group
        best: Numbers = np.maximum.accumulate(apart[::-1])[::-1] + 2.0 * self._group
        return best


def mean_precision(precisions: Numbers) -> float:
    """Mean over labels and thresholds, without labels that are not there; NaN if there is none."""
    there = precisions[~np.isnan(precisions).all(axis=1)]
    return float(there.mean()) if there.size else float("nan")
