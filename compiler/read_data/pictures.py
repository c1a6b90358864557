"""Pictures, in class folders or, for a detector, with annotations.

They are hashed at once, which reads every file, and decoded when asked for.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from compiler.dataset import Array, Data
from compiler.detection.annotations import ANNOTATIONS, read_annotations
from compiler.remember import remembered
from edge.errors import BadDataError

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


def open_pictures(path: Path, folders: Sequence[Path]) -> Data:
    """Look at the pictures of every class; raises BadDataError if a class has none."""
    files: list[Path] = []
    for folder in folders:
        found = _pictures_of(folder.iterdir())
        if not found:
            raise BadDataError(
                f"class folder {folder.name!r} in {path} holds no pictures",
                remedy=f"put {', '.join(ENDINGS[:4])} files (or .wav files into all) into it, or remove it",
            )
        files += found
    return _data(path, files, tuple(file.parent.name for file in files))


def open_annotated(path: Path) -> Data:
    """Pictures for a detector: those that annotations.json names; without it, all that lie below the folder.

    Raises: BadDataError.
    """
    if not path.is_dir():
        raise BadDataError(
            f"{path} is no folder of pictures", remedy=f"a detector wants a folder, with {ANNOTATIONS} (COCO) in it"
        )
    annotations = read_annotations(path)
    files = _pictures_of(path.rglob("*")) if annotations is None else list(annotations.files)
    if not files:
        raise BadDataError(f"{path} holds no pictures", remedy=f"put {', '.join(ENDINGS[:4])} files into it")
    return replace(_data(path, files, ("",) * len(files)), annotations=annotations)


def _pictures_of(entries: Iterable[Path]) -> list[Path]:
    return sorted(file for file in entries if file.suffix.lower() in ENDINGS and file.is_file())


def _data(path: Path, files: Sequence[Path], tags: tuple[str, ...]) -> Data:
    digests = tuple(hashlib.sha256(file.read_bytes()).digest() for file in files)
    read = remembered(lambda index: _decode(files[index]))
    return Data(
        path=path,
        kind="pictures",
        tags=tags,
        numbered=False,
        digests=digests,
        where=tuple(f"{file.parent.name}/{file.name}" for file in files),
        shape=tuple(int(side) for side in read(0).shape),
        read=read,
    )


def _decode(file: Path) -> Array:
    """Decode a picture to uint8 height x width x 3 in BGR order."""
    import cv2

    coded = np.fromfile(file, np.uint8)
    try:
        picture = cv2.imdecode(coded, cv2.IMREAD_COLOR) if coded.size else None
    except cv2.error:  # it says that it is larger than any picture
        picture = None
    if picture is None:
        raise BadDataError(f"cannot read the picture {file}", remedy="replace or remove it; it is empty or broken")
    return np.asarray(picture, np.uint8)
