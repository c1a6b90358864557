"""Pictures and true boxes -> samples: labels get their numbers, boxes move as the input contract moves pixels."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.dataset import Data, Samples
from compiler.detection.annotations import Annotations, labels_of
from compiler.detection.packed import Real, assumed_truth, pack_truth
from edge.errors import BadDataError
from edge.manifest import ImageInput, InputContract
from edge.picture import moved

LEAST_SIDE = 1e-4
"""Of the picture: what a crop leaves of a box below this is nothing to find."""


def arrange_boxes(data: Data, contract: InputContract, *, labels: Sequence[str], count: int | None) -> Samples:
    """Make samples of pictures; without annotations their truth is open, see `assume`.

    Args:
        data: as opened for the task detect.
        contract: a picture's.
        labels: names in the order of the detector's labels; empty: the data's categories, or numbers.
        count: how many labels the outputs have; None: they do not tell.

    Raises: BadDataError if the data are no pictures, or names do not fit.

    """
    if not isinstance(contract, ImageInput) or data.kind != "pictures":
        raise BadDataError(f"{data.path} holds no pictures, and a detector looks at pictures", remedy="give a folder")
    classes = _classes(tuple(labels), data.annotations, count)
    truth = None if data.annotations is None else _truth(data.annotations, contract, classes)
    lines = sorted(digest + (b"" if truth is None else truth[at].tobytes()) for at, digest in enumerate(data.digests))
    return Samples(
        classes=classes,
        labels=np.zeros(len(data.digests), np.int64),
        digests=data.digests,
        where=data.where,
        raw=_checked(data),
        sha256=hashlib.sha256(b"\n".join(lines)).hexdigest(),
        pictures=True,
        targets=truth,
        assumed=truth is None,
    )


def assume(samples: Samples, values: Real, floor: float) -> Samples:
    """Take what a model itself sees for the truth, where nobody annotated the pictures."""
    return replace(samples, targets=assumed_truth(values, floor)) if samples.targets is None else samples


def _classes(labels: tuple[str, ...], annotations: Annotations | None, count: int | None) -> tuple[str, ...]:
    named = labels or (annotations.categories if annotations is not None else ())
    if not named and count is not None:
        return tuple(str(number) for number in range(count))
    if not named or len(set(named)) != len(named) or (count is not None and len(named) != count):
        origin = "were given" if labels else "are in the annotations"
        wanted = "an unknown number of" if count is None else f"{count}"
        raise BadDataError(
            f"{len(set(named))} different label names {origin}, but the detector has {wanted} labels",
            remedy="pass --labels FILE with one name a line, in the order of the detector's labels, "
            "or write `labels` into the input contract",
        )
    return named


def _truth(annotations: Annotations, contract: ImageInput, classes: tuple[str, ...]) -> Real:
    """[pictures, most, 6]: label, corners as shares of the model's picture, crowd."""
    numbers = np.array([*labels_of(annotations, classes), -1], np.float64)
    pictures = []
    for boxes, (width, height) in zip(annotations.boxes, annotations.sizes, strict=True):
        rows = boxes.copy()
        rows[:, 0] = numbers[boxes[:, 0].astype(np.int64)]
        shares = moved(boxes[:, 1:5], width, height, contract.width, contract.height, contract.resize)
        rows[:, 1:5] = np.clip(shares, 0.0, 1.0)
        left = (rows[:, 3:5] - rows[:, 1:3] >= LEAST_SIDE).all(axis=1)
        pictures.append(rows[left & (rows[:, 0] >= 0)].astype(np.float32))
    return pack_truth(pictures)


def _checked(data: Data) -> Callable[[int], NDArray[Any]]:
    """Read pictures; one of another size than annotated is refused, for its boxes would lie elsewhere."""
    annotations = data.annotations
    if annotations is None:
        return data.read

    def read(index: int) -> NDArray[Any]:
        picture, (width, height) = data.read(index), annotations.sizes[index]
        if picture.shape[:2] != (height, width):
            raise BadDataError(
                f"{data.where[index]} has {picture.shape[1]} x {picture.shape[0]} pixels, the annotations say "
                f"{width} x {height}",
                remedy="annotate this very file: it was resized, or is turned by a flag in it (EXIF)",
            )
        return picture

    return read
