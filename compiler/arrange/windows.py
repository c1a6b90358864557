"""Rows of a series -> windows, and for a model with a state sequences of windows."""

import difflib
import hashlib
from dataclasses import replace

import numpy as np

from compiler.dataset import Array, Data
from edge.errors import BadDataError
from edge.manifest import SeriesInput

BLOCK_WINDOWS = 10
"""Windows may share rows, so blocks of this many windows' rows are split, each as a whole."""
SEQUENCE_STEPS = 64
"""Windows of a series that follow each other and become one sequence, for a model with a state."""


def cut_windows(data: Data, contract: SeriesInput, *, stateful: bool) -> Data:
    """Cut rows into windows; the label of a window is that of its last row (what is going on *now*).

    A window that would cross from one block of rows into the next is left out: so no row is on both sides. Of a
    `stateful` model a block is one sequence of SEQUENCE_STEPS windows, with a label for each.

    Raises: BadDataError if a column is missing, or the rows do not fill one window.
    """
    steps = SEQUENCE_STEPS if stateful else 0
    block_rows = (steps - 1) * contract.stride + contract.window if steps else BLOCK_WINDOWS * contract.window
    table = _table(data, contract)
    if steps:
        table = table[: len(table) // block_rows * block_rows]
    starts = _starts(len(table), block_rows, contract)
    if not starts:
        what = f"one sequence of {block_rows}" if steps else f"one window of {contract.window}"
        raise BadDataError(
            f"{data.path} has {len(data.tags)} rows, fewer than {what}",
            remedy="record more, or shorten `window`",
        )

    def digest(start: int) -> bytes:
        block = start // block_rows * block_rows
        return hashlib.sha256(table[block : block + block_rows].tobytes()).digest()

    lasts = [start + contract.window - 1 for start in starts]
    cut = replace(
        data,
        kind="arrays",
        tags=tuple(data.tags[last] for last in lasts),
        digests=tuple(digest(start) for start in starts),
        where=tuple(f"{data.where[start]} to {data.where[last]}" for start, last in zip(starts, lasts, strict=True)),
        targets=None if data.targets is None else data.targets[lasts],
        shape=(contract.window, len(contract.columns)),
        read=lambda index: table[starts[index] : starts[index] + contract.window],
    )
    return _joined(cut, steps) if steps else cut


def _table(data: Data, contract: SeriesInput) -> Array:
    """All rows, [rows, columns], with the columns of the contract."""
    missing = [name for name in contract.columns if name not in data.columns]
    if missing:
        near = difflib.get_close_matches(missing[0], data.columns, n=1)
        hint = f" (nearest: {near[0]!r})" if near else ""
        raise BadDataError(
            f"{data.path} has no column {missing[0]!r}{hint}", remedy="correct `columns` in the input contract"
        )
    table = np.stack([data.read(index) for index in range(len(data.tags))])
    return table[:, [data.columns.index(name) for name in contract.columns]]


def _starts(rows: int, block_rows: int, contract: SeriesInput) -> list[int]:
    """First row of each window that lies in one block."""
    return [
        start
        for block in range(0, rows, block_rows)
        for start in range(block, min(block + block_rows, rows) - contract.window + 1, contract.stride)
    ]


def _joined(windows: Data, steps: int) -> Data:
    """Make one sequence of every `steps` windows; each keeps its label."""
    firsts = range(0, len(windows.digests), steps)
    return replace(
        windows,
        digests=tuple(windows.digests[at] for at in firsts),
        where=tuple(
            f"{windows.where[at].partition(' to ')[0]} to {windows.where[at + steps - 1].rpartition(' to ')[2]}"
            for at in firsts
        ),
        read=lambda index: np.stack([windows.read(index * steps + at) for at in range(steps)]),
        steps=steps,
    )
