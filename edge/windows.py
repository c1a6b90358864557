"""Rows or sound that come bit by bit, cut into the overlapping windows of a model. Part of the input contract."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.errors import BadDataError
from edge.manifest import AudioInput, InputContract, SeriesInput
from edge.sound import Features, window_samples

Real = NDArray[np.float32]


class Window(Protocol):
    """What cuts a stream into windows."""

    late_ns: int
    """How long before the last row that was pushed the window ended that was yielded last."""

    def push(self, rows: Real) -> Iterator[Real]:
        """Take rows [n, columns], oldest first; yields each window that became whole."""

    def clear(self) -> None:
        """Forget everything: there is a gap, and a window must have none."""


class SlidingWindow:
    """Windows of `rows` rows, a new one every `stride` rows; memory is bounded by one window and what was pushed."""

    late_ns = 0
    """Nobody says how long a row takes; rows come one by one."""

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


class SoundWindow:
    """Samples [n, 1] to windows of features [window, values]: each frame is worked on once, however windows overlap.

    Equal bit for bit to `edge.sound.Features.of` of each window's samples.
    """

    def __init__(self, contract: AudioInput) -> None:
        self._contract = contract
        self._features = Features(contract)
        self._frames = SlidingWindow(contract.window, contract.stride, self._features.row_values)
        self._rest: Real = np.empty(0, np.float32)
        """Samples from the beginning of the next frame on."""
        self._recent: Real = np.empty(0, np.float32)
        """Samples of the last window's length, for a model that takes over."""
        self.late_ns = 0

    def push(self, rows: Real) -> Iterator[Real]:
        """Take samples, oldest first; yields the features of each window that became whole.

        Raises: `BadDataError` if they are not of one channel.
        """
        if rows.ndim != 2 or rows.shape[1] != 1:
            raise BadDataError(
                f"rows of shape {rows.shape} where the model takes sound, one value a row",
                remedy="let the source be `microphone` or `wav`, or deliver one channel",
            )
        contract, sound = self._contract, np.concatenate([self._rest, rows[:, 0]])
        self._recent = np.concatenate([self._recent, rows[:, 0]])[-window_samples(contract) :]
        frames = self._features.rows(sound)
        self._rest = sound[len(frames) * contract.hop_length :].copy()
        since = len(self._rest) + contract.hop_length - contract.win_length
        """Samples after the end of the last frame."""
        for index in range(len(frames)):
            for window in self._frames.push(frames[index : index + 1]):
                after = since + (len(frames) - 1 - index) * contract.hop_length
                self.late_ns = after * 1_000_000_000 // contract.sample_rate
                yield self._features.finish(window)

    def clear(self) -> None:
        """Forget everything: there is a gap, and a window must have none."""
        self._frames.clear()
        self._rest, self._recent = self._rest[:0], self._recent[:0]

    def taken_over(self, contract: AudioInput) -> "SoundWindow":
        """A window for another model that goes on with the sound that was heard last, if it hears at the same rate."""
        other = SoundWindow(contract)
        if contract.sample_rate == self._contract.sample_rate:
            for _ in other.push(self._recent[:, None]):
                pass  # the model before has decided on this
        return other


def window_of(contract: InputContract, before: Window | None = None) -> Window | None:
    """The window that a contract asks for; None where it takes whole samples. `before`: that of the model before."""
    match contract:
        case AudioInput() if isinstance(before, SoundWindow):
            return before.taken_over(contract)
        case SeriesInput(window=rows, stride=stride, columns=columns):
            return SlidingWindow(rows, stride, len(columns))
        case AudioInput():
            return SoundWindow(contract)
        case _:
            return None
