"""What the story tells as one JSON object."""

from pathlib import Path

import msgspec

from demos.stop_go.light import PHASES
from demos.stop_go.score import Span, Truth, pace, score_phases
from demos.stop_go.versions import Made
from edge.statistics import LATENCY_EDGES_US, quantile
from edge_agent.actuators.recorder import read_lines
from fleet.rollout_state import RolloutState
from fleet.store import Store

MIN_FRAMES = 500
"""Red and green frames, in each light, that a figure must rest on."""
DRIVE_FRAMES = 750
"""So many the story drives for: about 25 scenes, so that a single one, taken wrongly from its first frame to its last,
is less than the twentieth that is promised."""
FIELD_GATES = frozenset({"score_drift", "label_shift"})


class RolloutTold(msgspec.Struct, frozen=True, kw_only=True):
    """One rollout: how it ended, why, and every gate of every wave. Times in seconds since it was started."""

    state: str
    reason: str
    seconds: float
    history: RolloutState


class VersionTold(msgspec.Struct, frozen=True, kw_only=True):
    """One version, on the bench and in the field."""

    bench: Made
    rollout: RolloutTold


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """A distribution of times, in milliseconds."""

    p50: float
    p99: float


class LightTold(msgspec.Struct, frozen=True, kw_only=True):
    """One car in one light; the shares are of these frames. Green frames count after the hold time."""

    red_frames: int
    green_frames: int
    false_go: float
    missed_go: float


class CarTold(msgspec.Struct, frozen=True, kw_only=True):
    """One car: what it runs, and how it drove with it. The gap is that of the whole story, switches included."""

    device: str
    version: int
    decisions_per_s: float
    frame_age_ms: Spread
    latency_ms: Spread
    lights: dict[str, LightTold]
    max_decision_gap_s: float


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """The whole story. `kept`: nothing to explain. `broken`: every promise that was not kept, in words."""

    demo: str
    seed: int
    dashboard: str
    seconds: float
    versions: tuple[VersionTold, ...]
    cars: tuple[CarTold, ...]
    kept: bool
    broken: tuple[str, ...]


def tell_rollout(state: RolloutState) -> RolloutTold:
    """Sum a finished rollout up."""
    return RolloutTold(
        state=state.state, reason=state.reason, seconds=round(state.changed_s - state.created_s, 1), history=state
    )


def lights_of(record: Path, truth: Truth, *, version: int, since_ns: int, hold_s: float) -> dict[str, LightTold]:
    """By light: how often the car went on red, and stood on green, since `since_ns` (CLOCK_MONOTONIC)."""
    span = Span(version, since_ns, 2**62)
    scores = score_phases(read_lines(record), truth, (span,), hold_s=hold_s).get(version, {})
    return {
        PHASES[number].name: LightTold(
            red_frames=score.red,
            green_frames=score.green,
            false_go=round(score.false_go / max(1, score.red), 5),
            missed_go=round(score.missed_go / max(1, score.green), 5),
        )
        for number, score in sorted(scores.items())
    }


def enough(lights: dict[str, LightTold], frames: int = MIN_FRAMES) -> bool:
    """Whether every light has been driven for at least so many red and so many green frames."""
    return len(lights) == len(PHASES) and all(
        min(light.red_frames, light.green_frames) >= frames for light in lights.values()
    )


def tell_car(car: str, version: int, record: Path, lights: dict[str, LightTold], *, store: Store) -> CarTold:
    """Sum one car's drive up."""
    whole = pace(read_lines(record))
    return CarTold(
        device=car,
        version=version,
        decisions_per_s=round(whole.per_s, 1),
        frame_age_ms=Spread(p50=round(whole.age_p50_ms, 2), p99=round(whole.age_p99_ms, 2)),
        latency_ms=_latency(store, car, version),
        lights=lights,
        max_decision_gap_s=round(whole.max_gap_s, 3),
    )


def _latency(store: Store, car: str, version: int) -> Spread:
    """Inference and decision, from the telemetry that arrived."""
    seen = store.observe("stop-go", version, [car], 0, 2**62).get(car)
    if seen is None or not any(seen.latency_us):
        return Spread(p50=0.0, p99=0.0)
    p50, p99 = (quantile(seen.latency_us, LATENCY_EDGES_US, q) / 1000 for q in (0.5, 0.99))
    return Spread(p50=round(p50, 3), p99=round(p99, 3))


def broken_promises(
    versions: dict[int, VersionTold], cars: tuple[CarTold, ...], *, control: bool = False
) -> tuple[str, ...]:
    """Hold the story against what it promises; returns a sentence for each promise that was not kept."""
    found = []
    second, third = versions[2], versions[3]
    gate = stopping_gate(second.rollout.history)
    if control and second.rollout.state != "DONE":
        found.append(f"the control ended {second.rollout.state}: {second.rollout.reason}")
    if not control and second.bench.accuracy < 0.97:
        found.append(f"v2 scores {second.bench.accuracy:.3f} in its own light, 0.97 was promised")
    if not control and (second.rollout.state != "ROLLED_BACK" or gate not in FIELD_GATES):
        found.append(f"v2 ended {second.rollout.state}, stopped by {gate or 'no gate'}")
    if third.rollout.state != "DONE":
        found.append(f"v3 ended {third.rollout.state}: {third.rollout.reason}")
    for car in cars:
        if car.version != 3:
            found.append(f"{car.device} runs v{car.version}")
        if car.max_decision_gap_s > 1:
            found.append(f"{car.device} did not decide for {car.max_decision_gap_s} s")
        if not enough(car.lights):
            found.append(f"{car.device} drove too short a time in some light")
        found += [
            f"{car.device} in {light}: false GO {s.false_go:.2%}, missed GO {s.missed_go:.2%}"
            for light, s in car.lights.items()
            if s.false_go > 0.005 or s.missed_go > 0.05
        ]
    return tuple(found)


def stopping_gate(state: RolloutState) -> str:
    """Name of the gate that stopped a rollout; empty if none did."""
    return next((gate.name for wave in state.waves for gate in wave.gates if gate.verdict == "stop"), "")
