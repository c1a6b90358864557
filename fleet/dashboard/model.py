"""What the pages show, as values: `reader.py` fills them from the store and the API, the renderers only read them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from edge.statistics import AGE_EDGES_MS, LATENCY_EDGES_US, quantile
from fleet.rollout_state import RolloutState
from fleet.store_machines import MachineStep, MinuteSpan
from fleet.views import DeviceView


@dataclass(frozen=True, slots=True)
class Point:
    """One window of telemetry of a device, as it arrived at `at_s` (Unix seconds of the fleet)."""

    at_s: float
    version: int
    span_ms: float
    decisions: int
    unsure: int
    labels: Mapping[str, int]
    scores: Sequence[int]
    latency_us: Sequence[int]
    age_ms: Sequence[int]

    @property
    def latency_p95_ms(self) -> float | None:
        """None when the window holds no decision."""
        return quantile(self.latency_us, LATENCY_EDGES_US, 0.95) / 1000 if any(self.latency_us) else None

    def age_quantile_ms(self, q: float) -> float | None:
        """Age of the frames behind the applied decisions; None when there was none."""
        return quantile(self.age_ms, AGE_EDGES_MS, q) if any(self.age_ms) else None


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision as the device sent it."""

    at_s: float
    version: int
    frame: int
    label: str
    score: float
    action: str
    age_ms: float
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Event:
    """One event of one device."""

    at_s: float
    device: str
    kind: str
    text: str
    version: int = 0


@dataclass(frozen=True, slots=True)
class DevicePage:
    """One device: its card, and everything that its own page shows besides."""

    view: DeviceView
    points: Sequence[Point] = ()
    """Of the last minute, oldest first."""
    decisions: Sequence[Decision] = ()
    """Newest first."""
    events: Sequence[Event] = ()

    @property
    def last(self) -> Decision | None:
        """The newest decision it sent."""
        return self.decisions[0] if self.decisions else None

    @property
    def per_second(self) -> float:
        """Decisions a second over the windows shown."""
        span_s = sum(point.span_ms for point in self.points) / 1000
        return sum(point.decisions for point in self.points) / span_s if span_s else 0.0


@dataclass(frozen=True, slots=True)
class History:
    """How one device's machine was, and what it did, over a longer time."""

    device: str
    span: MinuteSpan
    steps: Sequence[MachineStep]
    """The oldest first; those in which it said nothing are absent."""
    switches: Sequence[tuple[int, str]] = ()
    """In which step another version took over, and which."""

    def every_step(self, pick: Callable[[MachineStep], float | None]) -> list[float | None]:
        """One value a step, None where nothing came, or nothing that is known."""
        values: list[float | None] = [None] * self.span.steps
        for step in self.steps:
            values[step.step] = pick(step)
        return values


@dataclass(frozen=True, slots=True)
class FleetPage:
    """The whole fleet at one moment."""

    now_s: float
    devices: Sequence[DevicePage]
    shown: int
    """How many of `devices` have details; a page shows no more cards than a person can read."""
    rollouts: Sequence[RolloutState] = ()
    """Newest first."""
    events: Sequence[Event] = field(default_factory=tuple)
    """Newest first."""


def every_second(
    points: Sequence[Point], now_s: float, pick: Callable[[Point], float | None], seconds: int = 60
) -> list[float | None]:
    """One value a second for the last minute, None where nothing came."""
    values: list[float | None] = [None] * seconds
    for point in points:
        place = seconds - 1 - int(now_s - point.at_s)
        if 0 <= place < seconds:
            values[place] = pick(point)
    return values
