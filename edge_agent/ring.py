"""The ring of frames in shared memory: the newest frame wins, and a torn one is never read.

The writer takes an exclusive claim on a slot that nobody reads and that is not the newest, sets its frame id to 0,
writes pixels, sets the id and lets go; then it publishes (slot, id) through a pipe. A reader takes a shared claim on
the announced slot and checks that the id is still the one announced. Nobody ever waits for anybody.
"""

import fcntl
from math import prod

import numpy as np
from numpy.typing import NDArray

from edge.errors import AgentError
from edge_agent.ring_memory import RingMemory

DTYPES: tuple[type[np.generic], ...] = (np.uint8, np.float32)
"""What a frame may be made of: pictures (uint8) or rows of features (float32)."""
MOST_AHEAD = 1 << 24
"""A frame id that lies further behind what was last heard of is damage: so many frames take hours to capture."""
LAST_FRAME = 1 << 62
"""Nobody counts so far: a larger id is damage, too."""
_ITEM_BYTES = (1, 4)
Frame = NDArray[np.generic]
_Shape = tuple[int, int, int]


class _Views:
    """Arrays over the slots, made once for each shape."""

    def __init__(self, memory: RingMemory) -> None:
        self._memory = memory
        self._known: dict[tuple[int, _Shape, int], Frame] = {}

    def get(self, slot: int, shape: _Shape, dtype: int) -> Frame:
        key = (slot, shape, dtype)
        view = self._known.get(key)
        if view is None:
            axes = tuple(length for length in shape if length)
            view = np.ndarray(axes, DTYPES[dtype], buffer=self._memory.map, offset=self._memory.offset(slot))
            self._known[key] = view
        return view


class RingWriter:
    """The one writer. `begin()`, fill the array, `commit()` or `abort()`."""

    def __init__(self, memory: RingMemory, *, heard: int | None = None) -> None:
        """Go on after the newest frame that an earlier writer, perhaps killed, left behind.

        `heard`: a frame that is known to have been there. Ids that contradict it come from damaged memory and are not
        believed, for the guard obeys no frame whose id is not larger than that of the one before.
        """
        self._memory = memory
        self._views = _Views(memory)
        frames = [memory.header(slot).frame for slot in range(memory.slots)]
        most = LAST_FRAME if heard is None else heard + MOST_AHEAD
        frames = [frame if frame <= most else 0 for frame in frames]
        self.last_frame = max(*frames, heard or 0)
        self._newest = frames.index(max(frames))
        self._claimed: tuple[int, _Shape, int] | None = None

    def begin(self, shape: tuple[int, ...], dtype: type[np.generic] = np.uint8) -> Frame | None:
        """Claim a slot and return it as an array of up to 3 axes; None when every slot is being read."""
        full, code = _three(shape), DTYPES.index(dtype)
        size = prod(shape) * _ITEM_BYTES[code]
        if size > self._memory.slot_bytes:
            raise AgentError(
                f"a frame of {shape} needs {size} bytes, a slot of the ring has {self._memory.slot_bytes}",
                remedy="use a model with a smaller input",
            )
        for step in range(1, self._memory.slots):
            slot = (self._newest + step) % self._memory.slots
            if self._memory.claim(slot, fcntl.F_WRLCK):
                self._memory.set_frame(slot, 0)
                self._claimed = (slot, full, code)
                return self._views.get(slot, full, code)
        return None

    def commit(self, frame: int, captured_ns: int) -> int:
        """Give the claimed slot its frame id, let it go, and return the slot. `frame` grows by at least 1."""
        if self._claimed is None or frame <= self.last_frame:
            raise ValueError("commit needs a begin before it and a growing frame id")
        slot, shape, code = self._claimed
        self._memory.set_header(slot, frame, captured_ns, shape, code)
        self._memory.release(slot)
        self._claimed, self._newest, self.last_frame = None, slot, frame
        return slot

    def rehearse(self) -> None:
        """Go through a commit that leaves no frame behind; `begin` follows it."""
        if self._claimed is None:
            raise ValueError("rehearse needs a begin before it")
        slot, shape, code = self._claimed
        self._memory.set_header(slot, 0, 0, shape, code)
        self.abort()

    def abort(self) -> None:
        """Let the claimed slot go without a frame in it."""
        if self._claimed is not None:
            self._memory.release(self._claimed[0])
            self._claimed = None


class RingReader:
    """One reader; holds at most the claim that `claim()` gave and `release()` has not ended."""

    def __init__(self, memory: RingMemory) -> None:
        self._memory = memory
        self._views = _Views(memory)

    def claim(self, slot: int, frame: int) -> Frame | None:
        """Return the announced frame in place, as it was written; None when a newer one took its slot."""
        if not self._memory.claim(slot, fcntl.F_RDLCK):
            return None
        found, _, height, width, channels, dtype = self._memory.header(slot)
        if found != frame:
            self._memory.release(slot)
            return None
        return self._views.get(slot, (height, width, channels), dtype)

    def release(self, slot: int) -> None:
        """End the claim; the array must not be used any more."""
        self._memory.release(slot)


def _three(shape: tuple[int, ...]) -> _Shape:
    """Axes that are missing are 0, so that a reader sees as many as were written."""
    if len(shape) == 3:
        return shape
    if not 1 <= len(shape) <= 3:
        raise ValueError(f"a frame has 1 to 3 axes, got {shape}")
    height, width, channels = (*shape, 0, 0)[:3]
    return height, width, channels
