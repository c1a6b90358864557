"""What a detector's output says, as boxes: one function for each format. Boxes may overlap: nothing is suppressed."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.errors import BadConfigError

Format = Literal["yolo", "yolo-objectness", "fastestdet"]
Real = NDArray[np.float32]


class Boxes(NamedTuple):
    """Boxes whose score reaches the floor."""

    corners: Real
    """[n, 4]: left, top, right, bottom, as shares of the model's picture."""
    labels: NDArray[np.intp]
    scores: Real


def decode(output: Real, kind: Format, labels: int, size: tuple[float, float], floor: float) -> Boxes:
    """Decode the first output.

    Args:
        output: yolo: [1, 4 + labels, n], centre and size, then a score a label; yolo-objectness: [1, n, 5 + labels],
            with an objectness before the scores; fastestdet: [1, 5 + labels, rows, columns].
        kind: which of them.
        labels: how many the bundle has.
        size: width and height in the unit of the coordinates; (1, 1) where they are shares already.
        floor: least score.

    Raises: `BadConfigError` if the output has another shape.
    """
    features = (4 if kind == "yolo" else 5) + labels
    wanted = {"yolo": (features, -1), "yolo-objectness": (-1, features), "fastestdet": (features, -1, -1)}[kind]
    shape = output.shape[1:] if len(output.shape) == len(wanted) + 1 else output.shape
    if len(shape) != len(wanted) or any(w not in {-1, n} for w, n in zip(wanted, shape, strict=True)):
        raise BadConfigError(
            f"decider: an output of shape {output.shape} is not {kind} of {labels} labels",
            remedy="correct `boxes`, or the labels of the bundle",
        )
    plain = output.reshape(shape)
    if kind == "fastestdet":
        return _fastestdet(plain, floor)
    rows = plain.T if kind == "yolo" else plain
    scores = rows[:, 4:] if kind == "yolo" else rows[:, 4:5] * rows[:, 5:]
    return _best(rows[:, :4] / np.array([*size, *size], np.float32), scores, floor)


def _fastestdet(maps: Real, floor: float) -> Boxes:
    """Objectness, four numbers of the box, then a share a label, for each cell.

    Score = objectness^0.6 * label^0.4; centre = (cell + tanh(x, y)) / cells; size = sigmoid(w, h).
    Source: dog-qiuqiu/FastestDet, README and example/onnx-runtime.
    """
    _, rows, columns = maps.shape
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    centre_x, centre_y = (np.tanh(maps[1]) + x) / columns, (np.tanh(maps[2]) + y) / rows
    width, height = (1 / (1 + np.exp(-maps[i])) for i in (3, 4))
    boxes = np.stack([centre_x, centre_y, width, height], axis=-1).reshape(-1, 4)
    scores = np.maximum(maps[0:1], 0) ** 0.6 * np.maximum(maps[5:], 0) ** 0.4
    return _best(boxes, scores.reshape(len(scores), -1).T, floor)


def _best(boxes: Real, scores: Real, floor: float) -> Boxes:
    """The best label of each box, where it reaches the floor; centre and size become corners."""
    best = scores.argmax(axis=1)
    top = scores[np.arange(len(scores)), best]
    seen = top >= floor  # NaN is not
    centre, half = boxes[seen, :2], boxes[seen, 2:] / 2
    return Boxes(np.concatenate([centre - half, centre + half], axis=1), best[seen], top[seen])
