"""Reads pictures with boxes: COCO's format in `annotations.json` beside the pictures, or pictures alone.

`categories.toml` beside it may say what the data's categories are called among the model's labels.
"""

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.errors import BadDataError

ANNOTATIONS, CATEGORIES = "annotations.json", "categories.toml"
OTHERS = "*"
"""Stands for all categories that neither have a line nor are labels."""
SLACK = 1.0
"""Pixels that a box may reach beyond its picture: annotators' rounding."""
Rows = NDArray[np.float64]


class _Image(msgspec.Struct, frozen=True):
    id: int
    file_name: str
    width: int
    height: int


class _Box(msgspec.Struct, frozen=True):
    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    iscrowd: int = 0


class _Category(msgspec.Struct, frozen=True):
    id: int
    name: str


class _Coco(msgspec.Struct, frozen=True):
    images: tuple[_Image, ...]
    annotations: tuple[_Box, ...]
    categories: tuple[_Category, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Annotations:
    """True boxes of pictures, in the order of `files`."""

    files: tuple[Path, ...]
    sizes: tuple[tuple[int, int], ...]
    """Width and height, pixels."""
    boxes: tuple[Rows, ...] = field(repr=False)
    """Of each picture [n, 6]: place in `categories`, left, top, right, bottom in pixels, crowd."""
    categories: tuple[str, ...]
    """Names, by ascending id."""
    renamed: Mapping[str, str]
    """Category to label; an empty label leaves it out."""


def read_annotations(folder: Path) -> Annotations | None:
    """Read `annotations.json`; None if there is none.

    Raises: BadDataError for a file that is not COCO's format, a missing picture, an unknown category, a box without
    area or outside its picture.
    """
    path = folder / ANNOTATIONS
    if not path.is_file():
        return None
    try:
        coco = msgspec.json.decode(path.read_bytes(), type=_Coco)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise BadDataError(
            f"{path} is not COCO's format: {exc}",
            remedy="it wants images (id, file_name, width, height), annotations (image_id, category_id, bbox) "
            "and categories (id, name)",
        ) from exc
    if not coco.images:
        raise BadDataError(f"{path} names no pictures", remedy="list them under `images`")
    categories = sorted(coco.categories, key=lambda one: one.id)
    places = {one.id: at for at, one in enumerate(categories)}
    images = {one.id: one for one in coco.images}
    if len(images) < len(coco.images) or len(places) < len(categories):
        raise BadDataError(f"{path} gives one id to two images or categories", remedy="number them anew")
    rows: dict[int, list[list[float]]] = {one.id: [] for one in coco.images}
    for number, box in enumerate(coco.annotations):
        rows[_image_of(box, number, images, path).id].append(_row(box, number, images, places, path))
    return Annotations(
        files=tuple(_file(folder, one, path) for one in coco.images),
        sizes=tuple((one.width, one.height) for one in coco.images),
        boxes=tuple(np.array(rows[one.id], np.float64).reshape(-1, 6) for one in coco.images),
        categories=tuple(one.name for one in categories),
        renamed=_renamed(folder / CATEGORIES),
    )


def labels_of(annotations: Annotations, labels: Sequence[str]) -> tuple[int, ...]:
    """Label number of each category; -1 for one that is left out.

    Raises: BadDataError for a category with boxes that is no label, or renamed to something that is none.
    """
    numbers = {name: index for index, name in enumerate(labels)}
    used = {int(at) for boxes in annotations.boxes for at in boxes[:, 0]}
    found = []
    for at, name in enumerate(annotations.categories):
        default = annotations.renamed.get(OTHERS, name)
        label = annotations.renamed.get(name, name if name in numbers else default)
        if label and label not in numbers and at in used:
            near = difflib.get_close_matches(label, labels, n=1)
            hint = f" (nearest: {near[0]!r})" if near else ""
            raise BadDataError(
                f"the category {label!r} of {ANNOTATIONS} is no label of the model{hint}",
                remedy=f"name it in {CATEGORIES} beside {ANNOTATIONS}: "
                f'"{name}" = "the label", or = "" to leave it out; "{OTHERS}" = "" leaves out all others',
            )
        found.append(numbers.get(label, -1) if label else -1)
    return tuple(found)


def _image_of(box: _Box, number: int, images: Mapping[int, _Image], path: Path) -> _Image:
    if box.image_id not in images:
        raise BadDataError(
            f"{path}: annotation {number} is of image {box.image_id}, which is not listed",
            remedy="list it under `images`, or remove the annotation",
        )
    return images[box.image_id]


def _row(box: _Box, number: int, images: Mapping[int, _Image], places: Mapping[int, int], path: Path) -> list[float]:
    image = images[box.image_id]
    where = f"{path}: annotation {number} ({image.file_name})"
    if box.category_id not in places:
        raise BadDataError(
            f"{where} is of category {box.category_id}, which is not listed", remedy="list it under `categories`"
        )
    left, top, width, height = box.bbox
    right, bottom = left + width, top + height
    if not (width > 0 and height > 0):
        raise BadDataError(
            f"{where}: its box has no area", remedy="a bbox is left, top, width, height; remove empty ones"
        )
    if not (left >= -SLACK and top >= -SLACK and right <= image.width + SLACK and bottom <= image.height + SLACK):
        raise BadDataError(
            f"{where}: its box {list(box.bbox)} lies outside the picture of {image.width} x {image.height}",
            remedy="a bbox is left, top, width, height in pixels; correct or remove it",
        )
    clipped = [max(left, 0.0), max(top, 0.0), min(right, image.width), min(bottom, image.height)]
    return [places[box.category_id], *clipped, float(box.iscrowd)]


def _file(folder: Path, image: _Image, path: Path) -> Path:
    name = PurePosixPath(image.file_name)
    if name.is_absolute() or ".." in name.parts:
        raise BadDataError(
            f"{path} names the picture {image.file_name!r}", remedy=f"name pictures by their path below {folder}"
        )
    file = folder / name
    if not file.is_file():
        raise BadDataError(
            f"{path} names the picture {image.file_name}, which is not there",
            remedy="put it there, or take it out of `images`",
        )
    if image.width < 1 or image.height < 1:
        raise BadDataError(f"{path}: {image.file_name} has no size", remedy="give `width` and `height` in pixels")
    return file


def _renamed(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        return msgspec.convert(tomllib.loads(path.read_text("utf-8")), dict[str, str])
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as exc:
        raise BadDataError(f"{path} cannot be read: {exc}", remedy='write lines such as "Category" = "label"') from exc
