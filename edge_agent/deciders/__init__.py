"""From the model's output to an action. One file and one line in `KINDS` for each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:  # the supervisor reads KINDS and shall not load numpy
    import numpy as np
    from numpy.typing import NDArray

KINDS = {"classify": "edge_agent.deciders.classify:Classify"}
GROUP = "edgewright.deciders"
"""Of the entry points by which packages add kinds."""
SAFE = 0
"""Index of the safe action: the first one of the configuration."""


class Decision(NamedTuple):
    """What one frame led to."""

    action: int
    """Index into the configured actions."""
    label: int = -1
    """Index into the bundle's labels; -1: none."""
    score: float = 0.0
    """Of the label, 0..1."""


class Decider(Protocol):
    """Pure but for its own memory. Made as `Class(options, labels, actions)`, `options` being `Class.Options`.

    The constructor raises `BadConfigError` where options, labels and actions do not fit.
    """

    floor: float
    """Scores below are reported as unsure."""

    def step(self, output: NDArray[np.float32], now_s: float) -> Decision:
        """Decide on the model's first output. `now_s`: seconds of the frame's capture, CLOCK_MONOTONIC."""
