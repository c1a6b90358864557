"""The fixed-size records that the loop and the guard write for each frame; the uplink adds them up.

One record a write, on a pipe with O_NONBLOCK: below PIPE_BUF a write is whole or not at all, and a full pipe drops the
record (the writer counts it) rather than stall a decision. All times: CLOCK_MONOTONIC, nanoseconds. Imports nothing
but struct and math, because the guard uses it.
"""

import math
import struct
from typing import NamedTuple

DECIDED, APPLIED = 1, 2
_DECIDED = struct.Struct("<BxHIQqqqqqqffhhf")
_APPLIED = struct.Struct("<BBHIQqqq")
NO_SCORE = math.nan
RECORD_BYTES = max(_DECIDED.size, _APPLIED.size)


class Decided(NamedTuple):
    """From the loop: one frame, from capture to the guard. `label` (-1: none) and `action` index the spec's lists."""

    dropped: int  # frames overtaken since the last record, at most 65535
    epoch: int
    frame: int
    captured_ns: int
    published_ns: int
    read_ns: int  # newest slot read after wake-up
    invoke_start_ns: int
    invoke_end_ns: int
    handed_ns: int  # written to the guard's channel
    score: float
    floor: float
    label: int
    action: int
    model_score: float = NO_SCORE  # of `edge.score`; NaN where `score` is the model's own, or nobody can say it

    def pack(self) -> bytes:
        """Encode as one RECORD_BYTES record."""
        return _DECIDED.pack(DECIDED, *self).ljust(RECORD_BYTES, b"\0")


class Applied(NamedTuple):
    """From the guard: one change or refresh of the actuators. `safe` is 1 when the dead-man, not a command, chose."""

    safe: int
    action: int
    epoch: int
    frame: int
    captured_ns: int
    handed_ns: int
    applied_ns: int

    def pack(self) -> bytes:
        """Encode as one RECORD_BYTES record."""
        return _APPLIED.pack(APPLIED, *self).ljust(RECORD_BYTES, b"\0")


def unpack(record: bytes) -> Decided | Applied:
    """Decode one RECORD_BYTES record; raises ValueError for an unknown kind."""
    if record[0] == DECIDED:
        return Decided._make(_DECIDED.unpack_from(record)[1:])
    if record[0] == APPLIED:
        return Applied._make(_APPLIED.unpack_from(record)[1:])
    raise ValueError(f"unknown record kind {record[0]}")
