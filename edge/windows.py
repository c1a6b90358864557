"""Rows that come one by one, cut into the overlapping windows that a model sees. Part of the input contract."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edge.errors import BadDataError
from edge.manifest import InputContract, SeriesInput

Real = NDArray[np.float32]


class SlidingWindow:
    """Windows of `rows` rows, a new one every `stride` rows; memory is bounded by one window and what was pushed."""

    def __init__(self, rows: int, stride: int, columns: int) -> None:
        self._rows, self._stride, self._columns = rows, stride, columns
        self._skip = 0
        """Rows between two windows that are of no use, where `stride` is larger than `rows`."""
        self._kept: Real = np.empty((0, columns), np.float32)

    def push(self, rows: Real) -> Iterator[Real]:
        """Take rows [n, columns], oldest first; yields each window [rows, columns] that became whole.

        Raises: `BadDataError` if the rows have another number of columns.
        """
        if rows.ndim != 2 or rows.shape[1] != self._columns:
            raise BadDataError(
                f"rows of shape {rows.shape} where the model takes {self._columns} columns",
                remedy="let the source deliver the columns of the input contract, in its order",
            )
        dropped = min(self._skip, len(rows))
        self._skip -= dropped
        self._kept = np.concatenate([self._kept, rows[dropped:]])
        while len(self._kept) >= self._rows:
            yield self._kept[: self._rows]
            self._skip = max(0, self._stride - len(self._kept))
            self._kept = self._kept[self._stride :]

    def clear(self) -> None:
        """Forget everything: there is a gap, and a window must have none."""
        self._kept, self._skip = self._kept[:0], 0


def window_of(contract: InputContract) -> SlidingWindow | None:
    """The window that a contract asks for; None where it takes whole samples."""
    match contract:
        case SeriesInput(window=rows, stride=stride, columns=columns):
            return SlidingWindow(rows, stride, len(columns))
        case _:
            return None
