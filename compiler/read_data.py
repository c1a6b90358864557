"""Reads labelled samples: a folder of class folders (pictures or sound), an .npz (x, y) or a .csv with a label column.

Pictures are hashed at once, which reads every file, and decoded when asked for.
"""

import csv
import difflib
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compiler.dataset import Array, Data, short
from compiler.detection.annotations import ANNOTATIONS, read_annotations
from compiler.read_sound import open_sound, sound_files
from edge.errors import BadDataError, FileMissingError
from edge.manifest import TaskName

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
CACHE_BYTES = 256 * 2**20
LAYOUTS = (
    "a folder with one folder of pictures or .wav files per class, an .npz with x and y, or a .csv with a label column"
)


def open_data(path: Path, *, label_column: str = "label", task: TaskName = "classify", stateful: bool = False) -> Data:
    """Look at the samples under `path`; for the task regress, labels are numbers.

    `stateful`: the samples of an .npz are sequences, x [sequences, steps, ...], and y has one label for each, or
    [sequences, steps] for each step; the rows of a .csv are cut into sequences later.

    Raises:
        FileMissingError: nothing is there.
        BadDataError: it is not one of the three layouts, is empty, or holds NaN or infinity.

    """
    if not path.exists():
        raise FileMissingError(f"no data at {path}", remedy=f"--data wants {LAYOUTS}")
    if task == "detect":
        return _open_pictures(path)
    if path.is_dir() and stateful:
        raise BadDataError(
            f"{path} is a folder, and a model with a state needs sequences",
            remedy="give an .npz with x [sequences, steps, ...] and y, or the rows of a .csv in their order",
        )
    if path.is_dir() and task != "regress":
        return _open_folder(path)
    if path.suffix == ".npz":
        return _open_npz(path, numbers=task == "regress", stateful=stateful)
    if path.suffix == ".csv":
        return _open_csv(path, label_column, numbers=task == "regress")
    raise BadDataError(f"{path} is no data that we read", remedy=f"--data wants {LAYOUTS}")


# ---- a folder of class folders


def _open_folder(path: Path) -> Data:
    folders = sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not folders:
        raise BadDataError(
            f"{path} holds no class folders",
            remedy="put the pictures or sounds of each class into a folder named after it",
        )
    if any(sound_files(folder) for folder in folders):
        return open_sound(path, folders)
    files: list[Path] = []
    for folder in folders:
        pictures = sorted(file for file in folder.iterdir() if file.suffix.lower() in PICTURES and file.is_file())
        if not pictures:
            raise BadDataError(
                f"class folder {folder.name!r} in {path} holds no pictures",
                remedy=f"put {', '.join(PICTURES[:4])} files (or .wav files into all) into it, or remove it",
            )
        files += pictures
    return _pictures(path, files, tuple(file.parent.name for file in files))


def _open_pictures(path: Path) -> Data:
    """Pictures for a detector: those that annotations.json names; without it, all that lie below the folder."""
    if not path.is_dir():
        raise BadDataError(
            f"{path} is no folder of pictures", remedy=f"a detector wants a folder, with {ANNOTATIONS} (COCO) in it"
        )
    annotations = read_annotations(path)
    found = sorted(file for file in path.rglob("*") if file.suffix.lower() in PICTURES and file.is_file())
    files = found if annotations is None else list(annotations.files)
    if not files:
        raise BadDataError(f"{path} holds no pictures", remedy=f"put {', '.join(PICTURES[:4])} files into it")
    return replace(_pictures(path, files, ("",) * len(files)), annotations=annotations)


def _pictures(path: Path, files: Sequence[Path], tags: tuple[str, ...]) -> Data:
    digests = tuple(hashlib.sha256(file.read_bytes()).digest() for file in files)
    cache: dict[int, Array] = {}
    room = [CACHE_BYTES]

    def read(index: int) -> Array:
        if index not in cache:
            picture = _decode(files[index])
            if picture.nbytes > room[0]:
                return picture
            room[0] -= picture.nbytes
            cache[index] = picture
        return cache[index]

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


# ---- .npz


def _open_npz(path: Path, *, numbers: bool, stateful: bool) -> Data:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files if name in {"x", "y"}}
            names = short(archive.files) or "nothing"
    except Exception as exc:  # numpy parses the header as Python code, and lets out what that raises
        raise BadDataError(
            f"{path} is not a readable .npz: {exc}", remedy="save it with numpy.savez(path, x=samples, y=labels)"
        ) from exc
    if len(arrays) < 2:
        raise BadDataError(
            f"{path} holds {names}, but x and y are needed",
            remedy="save it with numpy.savez(path, x=samples, y=labels)",
        )
    x, y = arrays["x"], arrays["y"]
    if not (isinstance(x, np.ndarray) and isinstance(y, np.ndarray)):  # numpy hands out the bytes of what is no array
        raise BadDataError(
            f"{path} holds x or y as something else than an array",
            remedy="save it with numpy.savez(path, x=samples, y=labels)",
        )
    if x.ndim < 2 or len(x) == 0:
        raise BadDataError(
            f"{path} holds no samples: x has the shape {x.shape}", remedy="x wants one sample a row: [samples, ...]"
        )
    if stateful and (x.ndim < 3 or x.shape[1] < 2):
        raise BadDataError(
            f"{path}: x has the shape {x.shape}, and holds no sequences",
            remedy="a model with a state wants x [sequences, steps, ...]",
        )
    if stateful and y.shape[:2] == x.shape[:2]:  # a label, or numbers, for each step
        y = y.reshape(-1, *y.shape[2:])
        whole = numbers or y.ndim == 1
    else:
        whole = y.shape == (len(x),) or (numbers and y.ndim >= 1 and len(y) == len(x))
    if not whole:
        raise BadDataError(
            f"{path}: y has the shape {arrays['y'].shape}, x {x.shape}",
            remedy=f"y wants one label for each {'sequence, or step,' if stateful else 'sample'} of x",
        )
    if x.dtype.kind not in "fiub":
        raise BadDataError(
            f"{path}: x has the type {x.dtype}", remedy="x wants numbers: float32, or uint8 for pictures"
        )
    where = tuple(f"{'sequence' if stateful else 'sample'} {index}" for index in range(len(x)))
    values = x if x.dtype == np.uint8 else x.astype(np.float32)
    _refuse_nan(values, where, path)
    targets = _targets(y, where, path) if numbers else None
    tags, numbered = (("",) * len(y), False) if numbers else _tags(y, path)
    return Data(
        path=path,
        kind="arrays",
        tags=tags,
        numbered=numbered,
        digests=tuple(hashlib.sha256(np.ascontiguousarray(value).tobytes()).digest() for value in values),
        where=where,
        shape=tuple(int(side) for side in values.shape[2 if stateful else 1 :]),
        read=values.__getitem__,
        targets=targets,
        steps=x.shape[1] if stateful else 0,
    )


def _targets(y: Array, where: Sequence[str], path: Path) -> NDArray[np.float32]:
    """Numbers of a regression, [samples, k]."""
    if y.dtype.kind not in "fiub":
        raise BadDataError(f"{path}: y has the type {y.dtype} and is no number", remedy="a regression wants numbers")
    targets: NDArray[np.float32] = y.astype(np.float32).reshape(len(y), -1)
    _refuse_nan(targets.reshape(len(where), -1), where, path)
    return targets


def _tags(y: Array, path: Path) -> tuple[tuple[str, ...], bool]:
    if y.dtype.kind in "US":
        return tuple(str(tag) for tag in y.astype(str)), False
    if y.dtype.kind in "iub" or (y.dtype.kind == "f" and np.isfinite(y).all() and (y == np.round(y)).all()):
        return tuple(str(int(tag)) for tag in y), True
    raise BadDataError(
        f"{path}: y has the type {y.dtype} and is no class", remedy="y wants class numbers from 0, or class names"
    )


def _refuse_nan(values: Array, where: Sequence[str], path: Path) -> None:
    if values.dtype.kind != "f":
        return
    finite = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if not finite.all():
        bad = [where[index] for index in np.flatnonzero(~finite)]
        raise BadDataError(f"{path}: {short(bad, 5)} holds NaN or infinity", remedy="remove or repair these samples")


# ---- .csv


def _open_csv(path: Path, label_column: str, *, numbers: bool) -> Data:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            file.seek(0)
            rows = list(csv.reader(file, delimiter=";" if first.count(";") > first.count(",") else ","))
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise BadDataError(
            f"{path} is not a readable .csv: {exc}", remedy="save it as UTF-8 with a header line"
        ) from exc
    if len(rows) < 2:
        raise BadDataError(f"{path} holds no samples", remedy="a header line, then one sample a line")
    header = [name.strip() for name in rows[0]]
    if label_column not in header:
        near = difflib.get_close_matches(label_column, header, n=1)
        hint = f" (nearest: {near[0]!r})" if near else ""
        raise BadDataError(
            f"{path} has no column {label_column!r}{hint}; it has {short(header)}",
            remedy="name it with --label-column",
        )
    at = header.index(label_column)
    lines = [(number, row) for number, row in enumerate(rows[1:], start=2) if row]
    values = np.array([_numbers(row, number, header, at, path) for number, row in lines], np.float32)
    where = tuple(f"line {number}" for number, _ in lines)
    _refuse_nan(values, where, path)
    tags = tuple(row[at].strip() for _, row in lines)
    return Data(
        path=path,
        kind="rows",
        tags=tags,
        numbered=all(tag.isdecimal() for tag in tags),
        digests=tuple(hashlib.sha256(value.tobytes()).digest() for value in values),
        where=where,
        shape=(int(values.shape[1]),),
        read=values.__getitem__,
        columns=tuple(name for index, name in enumerate(header) if index != at),
        targets=_csv_targets(tags, where, path) if numbers else None,
    )


def _csv_targets(tags: Sequence[str], where: Sequence[str], path: Path) -> NDArray[np.float32]:
    try:
        targets = np.array([[float(tag)] for tag in tags], np.float32)
    except ValueError as exc:
        raise BadDataError(f"{path}: {exc} in the label column", remedy="a regression wants numbers there") from exc
    _refuse_nan(targets, where, path)
    return targets


def _numbers(row: Sequence[str], line: int, header: Sequence[str], label_at: int, path: Path) -> list[float]:
    if len(row) != len(header):
        raise BadDataError(
            f"{path}, line {line} has {len(row)} cells, the header {len(header)}", remedy="repair or remove this line"
        )
    numbers = []
    for at, cell in enumerate(row):
        if at == label_at:
            continue
        try:
            numbers.append(float(cell))
        except ValueError as exc:
            raise BadDataError(
                f"{path}, line {line}, column {header[at]!r}: {cell!r} is not a number",
                remedy="only the label may be text; --label-column names it",
            ) from exc
    return numbers
