"""What the compiled model decides otherwise than the float model: by class, as a matrix, and sample by sample."""

import numpy as np
from numpy.typing import NDArray

from compiler.report.boxes import boxes_by_label, changed_boxes, changed_pictures
from compiler.report.charts.classes import ClassRow
from compiler.report.charts.confusion import Counts
from compiler.report.flip import Flip, as_url, fitted
from compiler.result import Compiled

FLIPS_SHOWN = 24
THUMB_PIXELS = 112


def changed(compiled: Compiled) -> NDArray[np.int64]:
    """Indices of the samples that float and compiled decide differently."""
    if compiled.manifest.task == "detect":
        return changed_pictures(compiled)
    return np.flatnonzero(compiled.reference.predicted != compiled.judged.scores.predicted)


def flips(compiled: Compiled) -> list[Flip]:
    """Describe the first of them."""
    shown = changed(compiled)[:FLIPS_SHOWN]
    if compiled.manifest.task == "detect":
        return changed_boxes(compiled, shown)
    return [_flip(compiled, int(index)) for index in shown]


def by_class(compiled: Compiled) -> list[ClassRow]:
    """Share of each class that both models decide rightly; of a detector each label's precision."""
    if compiled.manifest.task == "detect":
        return boxes_by_label(compiled)
    truth = compiled.report_part.labels
    rows = []
    for index, name in enumerate(compiled.report_part.classes):
        of_class = truth == index
        if of_class.any():
            before = float(compiled.reference.correct[of_class].mean())
            after = float(compiled.judged.scores.correct[of_class].mean())
            rows.append(ClassRow(name, before, after, int(of_class.sum())))
    return rows


def confusion(compiled: Compiled) -> tuple[Counts, tuple[str, ...]]:
    """Count how often each class is taken for each, and name them; a detector decides between none."""
    classes = () if compiled.manifest.task == "detect" else compiled.report_part.classes
    counts = np.zeros((len(classes), len(classes)), np.int64)
    if classes:
        np.add.at(counts, (compiled.report_part.labels, compiled.main.scores.predicted), 1)
    return counts, classes


def counted(compiled: Compiled) -> str:
    """Say what a matrix of decisions counts."""
    samples = compiled.report_part
    if samples.judged == 1:
        return f"{len(samples)} samples"
    return f"{samples.judged} steps of each of the {len(samples)} sequences"


def _flip(compiled: Compiled, index: int) -> Flip:
    labels, part = compiled.report_part.classes, compiled.report_part
    before = int(compiled.reference.predicted[index])
    after, truth = int(compiled.judged.scores.predicted[index]), int(part.labels[index])
    return Flip(
        where=part.where_of(index),
        truth=labels[truth],
        reference=labels[before],
        compiled=labels[after],
        outcome="lost" if before == truth else "gained" if after == truth else "wrong either way",
        picture=_thumbnail(compiled, index) if part.pictures else "",
    )


def _thumbnail(compiled: Compiled, index: int) -> str:
    """Return the picture as a small PNG; enlarged without smoothing, so that pixels can be seen."""
    import cv2

    picture = compiled.report_part.seen_at(index)
    size, scale = fitted(picture.shape[1], picture.shape[0], THUMB_PIXELS)
    return as_url(cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST), "png")
