"""An .npz with x, one sample or sequence a row, and y, a label or numbers for each."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compiler.dataset import Array, Data
from compiler.read_data.values import refuse_nan
from compiler.words import short
from edge.errors import BadDataError

SAVE = "save it with numpy.savez(path, x=samples, y=labels)"


def open_npz(path: Path, *, numbers: bool, stateful: bool) -> Data:
    """Read all samples.

    Args:
        path: of the file.
        numbers: y holds those of a regression.
        stateful: x is [sequences, steps, ...], and y has one label for each sequence, or for each step.

    Raises: BadDataError.

    """
    x, y = _arrays(path)
    _check_samples(x, path, stateful=stateful)
    y = _answers(x, y, path, numbers=numbers, stateful=stateful)
    where = tuple(f"{'sequence' if stateful else 'sample'} {index}" for index in range(len(x)))
    values = _values(x, where, path)
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


def _arrays(path: Path) -> tuple[Array, Array]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files if name in {"x", "y"}}
            names = short(archive.files) or "nothing"
    except Exception as exc:  # numpy parses the header as Python code, and lets out what that raises
        raise BadDataError(f"{path} is not a readable .npz: {exc}", remedy=SAVE) from exc
    if len(arrays) < 2:
        raise BadDataError(f"{path} holds {names}, but x and y are needed", remedy=SAVE)
    x, y = arrays["x"], arrays["y"]
    if not (isinstance(x, np.ndarray) and isinstance(y, np.ndarray)):  # numpy hands out the bytes of what is no array
        raise BadDataError(f"{path} holds x or y as something else than an array", remedy=SAVE)
    return x, y


def _check_samples(x: Array, path: Path, *, stateful: bool) -> None:
    if x.ndim < 2 or len(x) == 0:
        raise BadDataError(
            f"{path} holds no samples: x has the shape {x.shape}", remedy="x wants one sample a row: [samples, ...]"
        )
    if stateful and (x.ndim < 3 or x.shape[1] < 2):
        raise BadDataError(
            f"{path}: x has the shape {x.shape}, and holds no sequences",
            remedy="a model with a state wants x [sequences, steps, ...]",
        )


def _answers(x: Array, y: Array, path: Path, *, numbers: bool, stateful: bool) -> Array:
    """Return y with one row for each sample, each sequence, or each step of all sequences."""
    if stateful and y.shape[:2] == x.shape[:2]:  # a label, or numbers, for each step
        answers = y.reshape(-1, *y.shape[2:])
        whole = numbers or answers.ndim == 1
    else:
        answers = y
        whole = y.shape == (len(x),) or (numbers and y.ndim >= 1 and len(y) == len(x))
    if not whole:
        raise BadDataError(
            f"{path}: y has the shape {y.shape}, x {x.shape}",
            remedy=f"y wants one label for each {'sequence, or step,' if stateful else 'sample'} of x",
        )
    return answers


def _values(x: Array, where: Sequence[str], path: Path) -> Array:
    """Bytes as they are, all else as finite float32."""
    if x.dtype.kind not in "fiub":
        raise BadDataError(
            f"{path}: x has the type {x.dtype}", remedy="x wants numbers: float32, or uint8 for pictures"
        )
    values = x if x.dtype == np.uint8 else x.astype(np.float32)
    refuse_nan(values, where, path)
    return values


def _targets(y: Array, where: Sequence[str], path: Path) -> NDArray[np.float32]:
    """Numbers of a regression, [samples, k]."""
    if y.dtype.kind not in "fiub":
        raise BadDataError(f"{path}: y has the type {y.dtype} and is no number", remedy="a regression wants numbers")
    targets: NDArray[np.float32] = y.astype(np.float32).reshape(len(y), -1)
    refuse_nan(targets.reshape(len(where), -1), where, path)
    return targets


def _tags(y: Array, path: Path) -> tuple[tuple[str, ...], bool]:
    """Labels, and whether they are class numbers."""
    if y.dtype.kind in "US":
        return tuple(str(tag) for tag in y.astype(str)), False
    if y.dtype.kind in "iub" or (y.dtype.kind == "f" and np.isfinite(y).all() and (y == np.round(y)).all()):
        return tuple(str(int(tag)) for tag in y), True
    raise BadDataError(
        f"{path}: y has the type {y.dtype} and is no class", remedy="y wants class numbers from 0, or class names"
    )
