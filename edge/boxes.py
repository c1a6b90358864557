"""What a detector's outputs say, as boxes: one function for each format. Compiler and agent run this very code."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.errors import BadInputContractError
from edge.manifest import BoxTensors, Head
from edge.priors import check_count, decode_priors

Real = NDArray[np.float32]
Parts = dict[str, NDArray[Any]]
"""By name: `boxes` [n, 4], `scores` [n, labels], sometimes `objectness` [n, 1] and `classes` [n, 1]."""
MOST_BOXES = 100
"""Of one picture. Source: the largest maxDets of the COCO evaluation."""
LEAST_SCORE = 0.01
"""A picture whose surest box lies below it shows none: few boxes below it are right, and noise never stops."""
MOST_CANDIDATES = 2_000
"""The best ones are held against each other, which keeps a picture full of noise from taking seconds."""


class Boxes(NamedTuple):
    """Boxes whose score reaches a floor."""

    corners: Real
    """[n, 4]: left, top, right, bottom, as shares of the model's picture."""
    labels: NDArray[np.intp]
    scores: Real


def detect(head: Head, outputs: Sequence[Real], labels: int, floor: float | None = None) -> Boxes:
    """Decode, suppress what overlaps, and cut boxes at the picture's edge; the best MOST_BOXES, the surest first.

    Args:
        head: how to read the outputs.
        outputs: all of the model's, in its order and shapes.
        labels: how many there are.
        floor: least score; by default the head's own.

    Raises: BadInputContractError if the outputs have other shapes than the head says.
    """
    found = suppress(decode(head, outputs, labels, head.floor if floor is None else floor), head.overlap)
    return found._replace(corners=np.clip(found.corners, 0.0, 1.0))


def surest_score(head: Head, outputs: Sequence[Real], labels: int) -> float:
    """Score of the surest box of one picture, as `detect` with LEAST_SCORE finds it; 0.0 where there is none.

    Boxes themselves are not decoded, which takes most of the time. An output that is no number sees nothing.
    Raises: BadInputContractError if the outputs have other shapes than the head says.
    """
    parts = parts_of(head, outputs, labels)
    scores = np.asarray(parts["scores"], np.float32)
    if "classes" in parts:
        scores = scores[_is_label(parts["classes"][:, 0], labels)]
    best = scores.max(axis=1)
    if head.format == "fastestdet":
        best = _fastestdet_scores(parts["objectness"][:, 0], best)
    elif "objectness" in parts:
        best = best * parts["objectness"][:, 0]
    found = float(best.max(initial=0.0))
    return found if found >= LEAST_SCORE else 0.0


def decode(head: Head, outputs: Sequence[Real], labels: int, floor: float) -> Boxes:
    """Decode all boxes whose best label reaches `floor`; they may overlap, and reach beyond the picture.

    Raises: BadInputContractError if the outputs have other shapes than the head says.
    """
    parts = parts_of(head, outputs, labels)
    if head.format == "fastestdet":
        return _fastestdet(parts, grid_of(outputs[0]), floor)
    boxes, scores = np.asarray(parts["boxes"], np.float32), np.asarray(parts["scores"], np.float32)
    if "objectness" in parts:
        scores = scores * parts["objectness"]
    order = head.tensors.order if head.format == "boxes" else "centre"
    if head.format == "boxes" and head.tensors.priors is not None:
        boxes, order = decode_priors(boxes, head.tensors.priors, head.size), "centre"
    else:
        boxes = boxes / np.array([*head.size, *head.size], np.float32)[[1, 0, 3, 2] if order == "yxyx" else slice(4)]
    if "classes" in parts:
        return _labelled(_corners(boxes, order), scores[:, 0], parts["classes"][:, 0], labels, floor)
    return _best(_corners(boxes, order), scores, floor)


def suppress(boxes: Boxes, overlap: float) -> Boxes:
    """Greedy non-maximum suppression, label by label; the surest first, MOST_BOXES at most.

    Source: P. Felzenszwalb et al., "Object Detection with Discriminatively Trained Part-Based Models", 2010, section 7.
    """
    finite = np.isfinite(boxes.corners).all(axis=1)
    order = np.argsort(-boxes.scores, kind="stable")
    order = order[finite[order]][:MOST_CANDIDATES]
    corners, labels = boxes.corners[order], boxes.labels[order]
    alive = np.ones(len(order), bool)
    kept: list[int] = []
    while len(kept) < MOST_BOXES and alive.any():
        first = int(alive.argmax())
        kept.append(first)
        alive[first] = False
        alive &= (labels != labels[first]) | (overlaps(corners[first : first + 1], corners)[0] <= overlap)
    chosen = order[kept]
    return Boxes(boxes.corners[chosen], boxes.labels[chosen], boxes.scores[chosen])


def overlaps(some: NDArray[Any], others: NDArray[Any]) -> NDArray[np.float64]:
    """Intersection over union of each of `some` [n, 4] with each of `others` [m, 4], corners; 0 for two empty ones."""
    a, b = some.astype(np.float64)[:, None], others.astype(np.float64)[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    both = np.maximum(sides, 0.0).prod(axis=-1)
    either = _area(a) + _area(b) - both
    shares: NDArray[np.float64] = np.divide(both, either, out=np.zeros_like(both), where=either > 0)
    return shares


def parts_of(head: Head, outputs: Sequence[NDArray[Any]], labels: int) -> Parts:
    """Take the outputs apart by what they mean; their values are not looked at.

    Raises: BadInputContractError if the outputs have other shapes than the head says.
    """
    if head.format == "boxes":
        return _tensors(head.tensors, outputs, labels)
    features = (4 if head.format == "yolo" else 5) + labels
    if head.format == "yolo-objectness":
        rows = _shaped(outputs, 0, (-1, features), head.format, labels)
        return {"boxes": rows[:, :4], "objectness": rows[:, 4:5], "scores": rows[:, 5:]}
    if head.format == "yolo":
        columns = _shaped(outputs, 0, (features, -1), head.format, labels)
        return {"boxes": columns[:4].T, "scores": columns[4:].T}
    maps = _shaped(outputs, 0, (features, -1, -1), head.format, labels).reshape(features, -1)
    return {"boxes": maps[1:5].T, "objectness": maps[:1].T, "scores": maps[5:].T}


def count_labels(head: Head, shapes: Sequence[tuple[int, ...]]) -> int | None:
    """How many labels outputs of these shapes have; None where only the boxes' own classes would tell.

    Raises: BadInputContractError if the shapes fit no number of labels.
    """
    tensors = head.tensors
    if head.format == "boxes" and tensors.classes is not None:
        return None
    at = tensors.scores if head.format == "boxes" else 0
    axis, others = {
        "yolo": (-2, 4), "yolo-objectness": (-1, 5), "fastestdet": (-3, 5), "boxes": (-1, int(tensors.background)),
    }[head.format]  # fmt: skip
    shape = shapes[at] if at < len(shapes) else ()
    count = shape[axis] - others if len(shape) >= -axis else 0
    if count < 1:
        raise _unfit(head.format, "any number of", shape)
    return count


def check_head(head: Head, shapes: Sequence[tuple[int, ...]], labels: int) -> None:
    """Raise BadInputContractError unless outputs of these shapes can be decoded."""
    parts = parts_of(head, [np.broadcast_to(np.float32(0), shape) for shape in shapes], labels)
    if head.format == "boxes" and head.tensors.priors is not None:
        check_count(head.tensors.priors, head.size, len(parts["boxes"]))


def grid_of(maps: NDArray[Any]) -> tuple[int, int]:
    """Rows and columns of cells."""
    return int(maps.shape[-2]), int(maps.shape[-1])


def _tensors(tensors: BoxTensors, outputs: Sequence[NDArray[Any]], labels: int) -> Parts:
    columns = labels + tensors.background
    boxes = _shaped(outputs, tensors.boxes, (-1, 4), "boxes", labels)
    if tensors.classes is None:
        scores = _shaped(outputs, tensors.scores, (len(boxes), columns), "boxes", labels)
        return {"boxes": boxes, "scores": scores[:, int(tensors.background) :]}
    flat = [_shaped(outputs, at, (len(boxes),), "boxes", labels)[:, None] for at in (tensors.scores, tensors.classes)]
    return {"boxes": boxes, "scores": flat[0], "classes": flat[1]}


def _shaped(outputs: Sequence[NDArray[Any]], at: int, wanted: tuple[int, ...], name: str, labels: int) -> NDArray[Any]:
    """One output without its leading 1, if it has the shape `wanted` (-1: any size)."""
    shape = outputs[at].shape if at < len(outputs) else ()
    plain = shape[1:] if len(shape) == len(wanted) + 1 and shape[0] == 1 else shape
    if len(plain) != len(wanted) or any(w not in {-1, n} for w, n in zip(wanted, plain, strict=True)):
        raise _unfit(name, labels, shape)
    return outputs[at].reshape(plain)


def _unfit(name: str, labels: int | str, shape: tuple[int, ...]) -> BadInputContractError:
    return BadInputContractError(
        f"an output of shape {shape} is not {name} of {labels} labels",
        remedy="correct the head's format, or the labels: as many as the detector knows, in its order",
    )


def _fastestdet(parts: Parts, grid: tuple[int, int], floor: float) -> Boxes:
    """Objectness, four numbers of the box, then a share a label, for each cell.

    Score = objectness^0.6 * label^0.4; centre = (cell + tanh(x, y)) / cells; size = sigmoid(w, h).
    Source: dog-qiuqiu/FastestDet, README and example/onnx-runtime.
    """
    numbers = np.asarray(parts["boxes"], np.float32)
    y, x = (side.ravel() for side in np.mgrid[0 : grid[0], 0 : grid[1]].astype(np.float32))
    cells = np.array([grid[1], grid[0]], np.float32)
    centre = (np.tanh(numbers[:, :2]) + np.stack([x, y], axis=1)) / cells
    size = 1 / (1 + np.exp(-np.clip(numbers[:, 2:], -80.0, 80.0)))
    scores = _fastestdet_scores(parts["objectness"], parts["scores"])
    return _best(_corners(np.concatenate([centre, size], axis=1), "centre"), scores, floor)


def _fastestdet_scores(objectness: NDArray[Any], shares: NDArray[Any]) -> Real:
    scores: Real = np.maximum(objectness, 0) ** 0.6 * np.maximum(shares, 0) ** 0.4
    return scores


def _corners(boxes: Real, order: str) -> Real:
    """Left, top, right, bottom."""
    if order == "centre":
        centre, half = boxes[:, :2], boxes[:, 2:] / 2
        return np.concatenate([centre - half, centre + half], axis=1)
    return boxes[:, [1, 0, 3, 2]] if order == "yxyx" else boxes


def _best(corners: Real, scores: Real, floor: float) -> Boxes:
    """The best label of each box, where it reaches the floor."""
    best = scores.argmax(axis=1)
    top = scores[np.arange(len(scores)), best]
    seen = top >= floor  # NaN is not
    return Boxes(corners[seen], best[seen], top[seen])


def _labelled(corners: Real, scores: Real, classes: NDArray[Any], labels: int, floor: float) -> Boxes:
    """Boxes that bring their labels; a number that is no label is no box."""
    seen = (scores >= floor) & _is_label(classes, labels)
    return Boxes(corners[seen], np.rint(classes[seen]).astype(np.intp), scores[seen])


def _is_label(classes: NDArray[Any], labels: int) -> NDArray[np.bool_]:
    named: NDArray[np.bool_] = (classes > -0.5) & (classes < labels - 0.5)
    return named


def _area(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    area: NDArray[np.float64] = np.maximum(boxes[..., 2:] - boxes[..., :2], 0.0).prod(axis=-1)
    return area
