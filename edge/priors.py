"""Boxes told as shifts of fixed ones (SSD): the fixed ones made once, the shifts applied."""

from functools import cache
from math import ceil

import numpy as np
from numpy.typing import NDArray

from edge.errors import BadInputContractError
from edge.manifest import Priors

Real = NDArray[np.float32]


def decode_priors(numbers: Real, priors: Priors, size: tuple[float, float]) -> Real:
    """Centre, width and height as shares of the picture.

    Args:
        numbers: [n, 4], as the network gives them.
        priors: what they shift; `edge.manifest.Priors` has the formula and its source.
        size: width and height of the model's picture, pixels.

    Raises: BadInputContractError if there are more or fewer priors than boxes.
    """
    check_count(priors, size, len(numbers))
    fixed = make_priors(priors, size)
    centre = fixed[:, :2] + numbers[:, :2] * np.float32(priors.centre_variance) * fixed[:, 2:]
    sides = fixed[:, 2:] * np.exp(np.clip(numbers[:, 2:] * np.float32(priors.size_variance), -80.0, 80.0))
    return np.concatenate([centre, sides], axis=1)


def check_count(priors: Priors, size: tuple[float, float], boxes: int) -> None:
    """Raise BadInputContractError unless there is one prior for each box; makes none of them."""
    grids = [ceil(size[0] / stride) * ceil(size[1] / stride) for stride in priors.strides]
    count = sum(cells * len(sides) for cells, sides in zip(grids, priors.sizes, strict=False))
    if count != boxes or len(priors.strides) != len(priors.sizes):
        raise BadInputContractError(
            f"{count} priors for {boxes} boxes",
            remedy="correct `strides` and `sizes` of the head's priors, and its `size`: the picture's in pixels",
        )


@cache
def make_priors(priors: Priors, size: tuple[float, float]) -> Real:
    """[n, 4]: centre, width and height as shares; stride by stride, row by row, cell by cell, square by square."""
    width, height = size
    rows = []
    for stride, sides in zip(priors.strides, priors.sizes, strict=True):
        y, x = np.mgrid[0 : ceil(height / stride), 0 : ceil(width / stride)].astype(np.float64) + 0.5
        centres = np.stack([x * stride / width, y * stride / height], axis=-1).reshape(-1, 1, 2)
        squares = np.array([[side / width, side / height] for side in sides]).reshape(1, -1, 2)
        whole = (len(centres), squares.shape[1], 2)
        cells = np.concatenate([np.broadcast_to(centres, whole), np.broadcast_to(squares, whole)], axis=2)
        rows.append(cells.reshape(-1, 4))
    made: Real = np.clip(np.concatenate(rows), 0.0, 1.0).astype(np.float32)
    return made
