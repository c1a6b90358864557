"""From what the model and the sensors say to an action. One file and one line in `KINDS` for each kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from edge_agent.plugins import load_class, nearest, read_options

if TYPE_CHECKING:  # the supervisor reads KINDS and shall not load numpy
    import numpy as np
    from numpy.typing import NDArray

    from edge.manifest import Head

KINDS = {
    "classify": "edge_agent.deciders.classify:Classify",
    "obstacle": "edge_agent.deciders.obstacle:Obstacle",
    "limits": "edge_agent.deciders.limits:Limits",
    "zones": "edge_agent.deciders.zones:Zones",
    "anomaly": "edge_agent.deciders.anomaly:Anomaly",
    "identity": "edge_agent.deciders.identity:Identity",
    "any": "edge_agent.deciders.combine:Any",
    "all": "edge_agent.deciders.combine:All",
    "priority": "edge_agent.deciders.combine:Priority",
}
GROUP = "edgewright.deciders"
"""Of the entry points by which packages add kinds."""
SAFE = 0
"""Index of the safe action: the first one of the configuration."""


class Reading(NamedTuple):
    """What one sensor measured last."""

    values: NDArray[np.float32]
    """[rows, columns]; the columns are those of the sensor's kind."""
    captured_ns: int
    """CLOCK_MONOTONIC."""


class Inputs(NamedTuple):
    """Everything that one decision may depend on."""

    output: NDArray[np.float32]
    """The model's first output."""
    readings: Mapping[str, Reading]
    """By the name of the sensor; one that has said nothing within its `max_age_ms` is not there."""
    now_s: float
    """Of the frame's capture, CLOCK_MONOTONIC in seconds."""
    sample: NDArray[np.float32] | None = None
    """The model's input as it saw it, dequantized; None unless the decider `needs_sample`."""
    others: tuple[NDArray[np.float32], ...] = ()
    """A detector's further outputs, in the model's order."""
    head: Head | None = None
    """How a detector's outputs become boxes (`edge.boxes`), as its bundle says; None: it is no detector's."""


class Decision(NamedTuple):
    """What one frame led to."""

    action: int
    """Index into the configured actions."""
    label: int = -1
    """Index into the bundle's labels; -1: none."""
    score: float = 0.0
    """Of the label, 0..1."""


TOP1, NOTHING = "top1", "nothing"
"""What a decider may say of its scores by `score_of`: `edge.statistics.softmax_top1` of the first output; or that it
never names a label, nor a score. Without it they are a quantity of its own."""


class Decider(Protocol):
    """Pure but for its own memory. Made as `Class(options, labels, actions)`, `options` being `Class.Options`.

    The constructor raises `BadConfigError` where options, labels and actions do not fit.
    """

    floor: float
    """Scores below are reported as unsure."""
    needs_sample: bool
    """It looks at the model's input too, which costs a copy.

    One that cannot do without `Inputs.head` says so by `needs_head = True`.
    """

    def decide(self, inputs: Inputs) -> Decision:
        """Decide on one frame; without a reading that it needs, the safe action."""


class OutputDecider(Protocol):
    """A decider that looks at nothing but the model's first output; made like any other."""

    floor: float
    """Scores below are reported as unsure."""

    def step(self, output: NDArray[np.float32], now_s: float) -> Decision:
        """Decide on the model's first output. `now_s`: seconds of the frame's capture, CLOCK_MONOTONIC."""


class OfOutput:
    """An `OutputDecider` as a `Decider`."""

    needs_sample = False

    def __init__(self, inner: OutputDecider) -> None:
        self.floor, self._step = inner.floor, inner.step
        self.score_of = getattr(inner, "score_of", "")

    def decide(self, inputs: Inputs) -> Decision:
        """Hand on the output and the time."""
        return self._step(inputs.output, inputs.now_s)


def make_decider(
    kind: str, options: Mapping[str, Any], folder: Path, labels: tuple[str, ...], actions: tuple[str, ...]
) -> Decider:
    """Make a decider of either Protocol; raises `BadConfigError` where it does not fit labels and actions."""
    cls = load_class(kind, KINDS, GROUP, folder)
    made = cls(read_options(cls, options, folder=folder, where="decider"), labels, actions)
    decider: Decider = made if hasattr(made, "decide") else OfOutput(made)
    return decider


def check_reads(decider: Decider, head: Head | None) -> None:
    """Raise `BadConfigError` for a decider on boxes, where neither its options nor the bundle say how to read them."""
    from edge.errors import BadConfigError

    if head is None and getattr(decider, "needs_head", False):
        raise BadConfigError(
            "decider: nobody says how the model's outputs become boxes",
            remedy="run a bundle that was compiled with --task detect, or name the format in `boxes`",
        )


def action_index(name: str, actions: tuple[str, ...]) -> int:
    """Where an action stands; raises `BadConfigError` with the nearest one."""
    return index_of(name, actions, "action")


def index_of(name: str, known: tuple[str, ...], what: str) -> int:
    """Where a name stands among the known ones; raises `BadConfigError` with the nearest one."""
    from edge.errors import BadConfigError

    if name not in known:
        raise BadConfigError(f"decider: no {what} {name!r}", remedy=nearest(name, known))
    return known.index(name)


def second_action(actions: tuple[str, ...], remedy: str) -> str:
    """The action that is not the safe one, where there is just one such; raises `BadConfigError` with `remedy` else."""
    from edge.errors import BadConfigError

    if len(actions) != 2:
        raise BadConfigError(f"decider: which of {', '.join(actions)} is meant?", remedy=remedy)
    return actions[1]
