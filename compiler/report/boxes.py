"""What the report shows of a detector: precision by label, and pictures in which the two models see other things."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.detection.packed import Real, unpack_found, unpack_truth
from compiler.detection.pairs import differs, paired
from compiler.metrics import METRICS
from compiler.metrics.mean_average_precision import MeanAveragePrecision
from compiler.report.charts.classes import ClassRow
from compiler.report.flip import Flip, as_url, fitted
from compiler.result import Compiled
from edge.boxes import Boxes
from edge.manifest import Head
from edge.picture import fit

PICTURE_PIXELS = 320
GREY, BLUE, RED = (190, 190, 190), (255, 160, 0), (40, 40, 235)
"""BGR, for the true boxes, the float model's and the compiled model's."""


def changed_pictures(compiled: Compiled) -> NDArray[np.int64]:
    """Indices in the report part of pictures in which not every seen box has a partner."""
    return np.flatnonzero(differs(compiled.reference.values, compiled.judged.scores.values, _floor(compiled)))


def changed_boxes(compiled: Compiled, indices: NDArray[np.int64]) -> list[Flip]:
    """Describe and draw these pictures."""
    return [_changed(compiled, int(index)) for index in indices]


def boxes_by_label(compiled: Compiled) -> list[ClassRow]:
    """Average precision of each label that the report part has, float against compiled."""
    metric, truth = METRICS[compiled.manifest.quality.metric], _truth(compiled)
    if not isinstance(metric, MeanAveragePrecision):
        return []
    before = metric.by_label(compiled.reference.values, truth)
    after = metric.by_label(compiled.judged.scores.values, truth)
    counts = {label: int((truth[..., 0] == label).sum()) for label in before}
    names = compiled.report_part.classes
    return [ClassRow(names[label], before[label], after[label], counts[label]) for label in sorted(before)]


def _changed(compiled: Compiled, index: int) -> Flip:
    floor, names = _floor(compiled), compiled.report_part.classes
    before = unpack_found(compiled.reference.values[index], floor)
    after = unpack_found(compiled.judged.scores.values[index], floor)
    lost, gained = before.labels[~paired(before, after)], after.labels[~paired(after, before)]
    true = unpack_truth(_truth(compiled)[index])
    return Flip(
        where=compiled.report_part.where[index],
        truth=_names(true[:, 0].astype(np.intp), names),
        reference=_names(lost, names, "only float: "),
        compiled=_names(gained, names, "only compiled: "),
        outcome="lost" if len(lost) > len(gained) else "gained" if len(gained) > len(lost) else "other boxes",
        picture=_drawn(compiled, index, before, after, true),
        large=True,
    )


def _names(labels: NDArray[np.intp], names: tuple[str, ...], lead: str = "") -> str:
    """`2 person, 1 dog`; a dash where there is nothing."""
    numbers, counts = np.unique(labels, return_counts=True)
    said = ", ".join(f"{count} {names[number]}" for number, count in zip(numbers, counts, strict=True))
    return f"{lead}{said or '-'}"


def _drawn(compiled: Compiled, index: int, before: Boxes, after: Boxes, true: Real) -> str:
    """The picture as the model sees it, with boxes, as a JPEG."""
    import cv2

    contract: Any = compiled.manifest.input  # a detector's is a picture's
    width, height = contract.width, contract.height
    size, _ = fitted(width, height, PICTURE_PIXELS)
    seen = fit(compiled.report_part.raw(index), width, height, contract.resize)
    canvas = cv2.resize(np.ascontiguousarray(seen), size, interpolation=cv2.INTER_AREA)
    for corners, colour, thick in ((true[:, 1:5], GREY, 1), (before.corners, BLUE, 3), (after.corners, RED, 1)):
        for box in np.rint(corners * np.array([*size, *size])).astype(int).tolist():
            cv2.rectangle(canvas, (box[0], box[1]), (box[2], box[3]), colour, thick)
    return as_url(canvas, "jpeg", (cv2.IMWRITE_JPEG_QUALITY, 85))


def _floor(compiled: Compiled) -> float:
    head = compiled.manifest.head
    return head.floor if isinstance(head, Head) else 0.0


def _truth(compiled: Compiled) -> Real:
    targets = compiled.report_part.targets
    assert targets is not None  # noqa: S101 - every detector's samples have a truth
    return targets
