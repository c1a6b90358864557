"""What a recording consists of: msgpack structs. docs/recording.md describes the file; unknown fields are ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from edge.errors import BadDataError
from edge.manifest import Head

if TYPE_CHECKING:  # the supervisor plans recordings and shall not load numpy
    from numpy.typing import NDArray


class Array(msgspec.Struct, frozen=True):
    """An array, bit for bit."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes

    @classmethod
    def of(cls, array: NDArray[Any]) -> Array:
        """Take a copy of an array."""
        return cls(array.dtype.str, array.shape, array.tobytes())

    def array(self) -> NDArray[Any]:
        """The array, not writable. Raises: `BadDataError` if dtype, shape and data do not fit."""
        import numpy as np

        try:
            return np.frombuffer(self.data, np.dtype(self.dtype)).reshape(self.shape)
        except (ValueError, TypeError) as exc:
            raise BadDataError(f"the recording holds no such array: {exc}", remedy="record again") from exc


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """Base of everything in a recording; the tag is the class name in lower case."""


class Opening(Item, frozen=True, kw_only=True, tag="opening"):
    """First: who recorded. Comes again where the recorder was started again."""

    wall_ns: int
    device: str
    model: str
    agent: str
    """Release of edgewright."""


class Life(Item, frozen=True, kw_only=True, tag="life"):
    """A loop process begins: its decider has no memory yet."""

    life: int
    """Its process id."""
    version: int
    bundle: str
    """Name of the file."""
    sha256: str
    """Of the file."""
    runtime: str
    dtype: str
    threads: int
    machine: str
    """Kind of CPU: the model's numbers are the same only there."""
    labels: tuple[str, ...]
    actions: tuple[str, ...]
    decider: str
    options: dict[str, Any]
    head: Head | None = None
    """Of a detector, as its bundle says."""
    folder: str
    """That paths in `options`, and a decider of the user's own, are relative to."""


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """One sensor's reading, as fresh as the decider was handed it."""

    captured_ns: int
    values: Array


class Turn(Item, frozen=True, kw_only=True, tag="turn"):
    """One frame that the loop consumed, and what came of it."""

    life: int
    epoch: int
    frame: int
    captured_ns: int
    """The time that the decider was handed, CLOCK_MONOTONIC."""
    dropped: int
    """Frames that were overtaken since the turn before."""
    read_ns: int
    """When the loop read the newest frame, CLOCK_MONOTONIC."""
    handed_ns: int
    """When its command was handed to the guard."""
    picture: Array
    """As it lay in the ring: uint8 [height, width, 3] in BGR order, or rows of features."""
    taken: Array
    """The input as the model took it; empty where the reader does not need it."""
    output: Array
    """The model's first output, as the decider was handed it."""
    others: tuple[Array, ...] = ()
    """A detector's further outputs."""
    action: int
    label: int
    score: float
    readings: dict[str, Heard] = {}
    """By sensor; a stale one is absent, as it was for the decider."""
    fresh: bool = False
    """The model has a state, and it was zero before this turn."""
    sample: Array | None = None
    """What the model saw in real values, for deciders that need it."""


class Lost(Item, frozen=True, kw_only=True, tag="lost"):
    """The recorder was too slow for so many turns: what the decider remembers is not known from here on."""

    turns: int


class Closing(Item, frozen=True, kw_only=True, tag="closing"):
    """Last, where the recording ended in order."""

    reason: str


Items = Opening | Life | Turn | Lost | Closing
FromLoop = Life | Turn
