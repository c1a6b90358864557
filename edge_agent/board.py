"""What the loop knows of the sensors: the newest reading of each, as long as it is fresh."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from edge_agent.deciders import Reading
from edge_agent.readings import newest
from edge_agent.specs import HeardSensor

NOTHING: Mapping[str, Reading] = MappingProxyType({})


@dataclass(slots=True)
class _Line:
    name: str
    reader: socket.socket
    max_age_ns: int
    last: Reading | None = None


class Board:
    """Looks at every wire when it is asked, and never waits."""

    def __init__(self, heard: tuple[HeardSensor, ...]) -> None:
        self._lines = [_Line(one.name, socket.socket(fileno=one.wire_fd), round(one.max_age_ms * 1e6)) for one in heard]

    def fresh(self, now_ns: int) -> Mapping[str, Reading]:
        """By name, the newest reading of every sensor that is not older than its `max_age_ms`; others are absent."""
        if not self._lines:
            return NOTHING
        found: dict[str, Reading] = {}
        for line in self._lines:
            heard = newest(line.reader)
            if heard is not None:
                measured, columns = heard
                values = np.frombuffer(measured.values, np.float32).reshape(-1, columns)
                line.last = Reading(values, measured.captured_ns)
            if line.last is not None and now_ns - line.last.captured_ns <= line.max_age_ns:
                found[line.name] = line.last
        return found
