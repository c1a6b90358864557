"""How long one inference takes on this machine, files side by side."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from compiler.host import host_core
from edge.runtimes import Session

WARM_UP, ROUNDS, PER_ROUND = 3, 20, 5
LATENCY_BUDGET_S = 3.0
"""Per candidate; a slow model is timed fewer times, but at least PER_ROUND times."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Time of one inference on this host, one thread: median, 10th and 90th percentile."""

    core: str
    ms: float
    low: float
    high: float
    simulated: bool = False
    """Of a chip's simulator, which tells nothing of the chip's own time."""


def time_in_turns(sessions: Sequence[Session]) -> list[Timing]:
    """Time `invoke` alone, on inputs that are already set."""
    taken: list[list[float]] = [[] for _ in sessions]
    for session in sessions:
        for _ in range(WARM_UP):
            session.invoke()
    for _ in range(ROUNDS):
        for session, times in zip(sessions, taken, strict=True):
            if sum(times) > LATENCY_BUDGET_S:
                continue
            for _ in range(PER_ROUND):
                start = time.perf_counter()
                session.invoke()
                times.append(time.perf_counter() - start)
    core = host_core()
    spans = [[float(q) * 1e3 for q in np.percentile(times, [50, 10, 90])] for times in taken]
    return [Timing(core, ms, low, high) for ms, low, high in spans]
