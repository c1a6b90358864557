"""What the fleet knows about its devices: values that the store hands out and the rollout machine reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from edge.messages import ModelReport, scores_to_compare


@dataclass(frozen=True, slots=True)
class DeviceView:
    """One device as it last spoke. Times are fleet receive times in Unix nanoseconds."""

    id: str
    online: bool
    seen_ns: int
    """When anything last came from it; 0 when never."""
    models: Mapping[str, ModelReport] = field(default_factory=dict)
    changed_ns: Mapping[str, int] = field(default_factory=dict)
    """By model: when its report last changed in content (a retained message that comes again changes nothing)."""
    target: str = ""
    agent: str = ""

    def report(self, model: str) -> ModelReport:
        """What it says of `model`; version 0 when it never spoke of it."""
        return self.models.get(model, _NOTHING)


_NOTHING = ModelReport(version=0, state="IDLE")


@dataclass(frozen=True, slots=True)
class Observation:
    """Sums over the windows that one device sent about one version, in one span of fleet receive time."""

    windows: int = 0
    span_ms: float = 0.0
    decisions: int = 0
    unsure: int = 0
    dropped: int = 0
    max_gap_ms: float = 0.0
    labels: Mapping[str, int] = field(default_factory=dict)
    actions: Mapping[str, int] = field(default_factory=dict)
    scores: tuple[int, ...] = ()
    """The deciders', counted by `edge.statistics.SCORE_EDGES`; empty when there was no window."""
    model_scores: tuple[int, ...] = ()
    """The models' own, counted by the edges of the version's baseline; empty where they are `scores`, or unknown."""
    latency_us: tuple[int, ...] = ()
    """Counts by `edge.statistics.LATENCY_EDGES_US`."""
    age_ms: tuple[int, ...] = ()
    """Counts by `edge.statistics.AGE_EDGES_MS`."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """How a version's scores were distributed on the bench, as its bundle says."""

    counts: tuple[int, ...]
    edges: tuple[float, ...] = ()
    """Empty for a classifier, whose edges are `edge.statistics.SCORE_EDGES`."""

    def scores_of(self, observation: Observation) -> tuple[int, ...]:
        """What a device counted that may be held against it; empty where its agent counts no such score."""
        return scores_to_compare(observation.model_scores, observation.scores, edges=self.edges)


@dataclass(frozen=True, slots=True)
class FleetView:
    """Everything one step of a rollout may look at. `fleet.gather.gather` makes it from the store.

    `wave`, `control` and `past` are by device. The first two cover the same span of time: `wave` the devices that
    were ordered the new version, running it; `control` the devices of the rollout that still run the old one. `past`
    is the wave's devices on their old version, in a span as long, just before the rollout touched the first of them.
    """

    devices: tuple[DeviceView, ...]
    wave: Mapping[str, Observation] = field(default_factory=dict)
    control: Mapping[str, Observation] = field(default_factory=dict)
    past: Mapping[str, Observation] = field(default_factory=dict)
    baselines: Mapping[int, Baseline] = field(default_factory=dict)
    """By version; one whose bundle is not at hand is absent."""


@dataclass(frozen=True, slots=True)
class Order:
    """Make `device` want `version` of `model`; version 0 withdraws the wish (the device had none before)."""

    device: str
    model: str
    version: int
