"""A .csv: a header line, then one sample a line, one column of which is its label."""

import csv
import difflib
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compiler.dataset import Data
from compiler.read_data.values import refuse_nan
from compiler.words import short
from edge.errors import BadDataError


def open_table(path: Path, label_column: str, *, numbers: bool) -> Data:
    """Read all rows; `numbers`: the labels are those of a regression.

    Raises: BadDataError.
    """
    header, lines = _rows(path)
    at = _column(header, label_column, path)
    values = np.array([_numbers(row, number, header, at, path) for number, row in lines], np.float32)
    where = tuple(f"line {number}" for number, _ in lines)
    refuse_nan(values, where, path)
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
        targets=_targets(tags, where, path) if numbers else None,
    )


def _rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Header, and each line that is not empty with its number."""
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
    return header, [(number, row) for number, row in enumerate(rows[1:], start=2) if row]


def _column(header: Sequence[str], label_column: str, path: Path) -> int:
    if label_column not in header:
        near = difflib.get_close_matches(label_column, header, n=1)
        hint = f" (nearest: {near[0]!r})" if near else ""
        raise BadDataError(
            f"{path} has no column {label_column!r}{hint}; it has {short(header)}",
            remedy="name it with --label-column",
        )
    return header.index(label_column)


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


def _targets(tags: Sequence[str], where: Sequence[str], path: Path) -> NDArray[np.float32]:
    """Numbers of a regression, [samples, 1]."""
    try:
        targets = np.array([[float(tag)] for tag in tags], np.float32)
    except ValueError as exc:
        raise BadDataError(f"{path}: {exc} in the label column", remedy="a regression wants numbers there") from exc
    refuse_nan(targets, where, path)
    return targets
