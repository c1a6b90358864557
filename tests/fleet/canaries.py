"""Canaries of simulated cameras through day, dusk and lamp light, with fixed seeds, before the real gates.

The streams are as unkind as real ones: frames are nearly copies of the frame before (correlation 0.95, so 500 of them
are worth about 13), labels stay for seconds, devices see light phases, harder and easier scenes than each other.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.boxes import LEAST_SCORE
from edge.messages import ModelReport
from edge.statistics import LATENCY_EDGES_US, SCORE_EDGES, count, quantile_edges
from fleet.gates import Evidence, judge, tally_of
from fleet.plan import Plan
from fleet.rollout_state import RolloutState, Wave
from fleet.views import Baseline, DeviceView, FleetView, Observation

Counts = tuple[int, ...]
LOOKS = (500, 1000, 2000, 4000)
"""Scores a device at which the gates are asked until they answer; 500 is the plan's default minimum."""
CYCLE, PHASES = 300, 3
BENCH = 600
"""Independent pictures of a report part, a little easier than the field, as benches are."""


@dataclass(frozen=True)
class Stream:
    """What one camera sees: phase of light, how hard the scene is, and the truth, frame by frame."""

    phase: NDArray[np.int64]
    scene: NDArray[np.float64]
    truth: NDArray[np.int64]


class Model(Protocol):
    """Says something of what it sees."""

    def baseline(self, rng: np.random.Generator) -> Baseline:
        """What its bundle says of its scores; anew on each bench."""

    def observe(self, what: Stream, frames: int, known: Baseline) -> Observation:
        """Sum of the windows of a device that has run it for so many frames."""


@dataclass(frozen=True)
class Classifier:
    """Margin of the right label by phase of light, and its spread over scenes. Score: logistic of the margin."""

    margin: tuple[float, float, float]
    spread: float
    bench: tuple[int, ...] = (0, 1, 2)
    """Phases in the pictures that its baseline was made of."""

    def look(self, what: Stream) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        margin = np.asarray(self.margin)[what.phase] + self.spread * what.scene
        return np.where(margin > 0, what.truth, 1 - what.truth), 1 / (1 + np.exp(-np.abs(margin)))

    def baseline(self, rng: np.random.Generator) -> Baseline:
        return Baseline(counts(self.look(pictures(rng, self.bench, truths=2))[1]))

    def observe(self, what: Stream, frames: int, known: Baseline) -> Observation:  # noqa: ARG002
        labels, scores = self.look(first(what, frames))
        return observation(frames, counts(scores), Counter("red" if label == 0 else "green" for label in labels))


@dataclass(frozen=True)
class Scored:
    """A model without labels: a number by phase of light, and its spread over scenes, where the scene says little.

    The decider's own scores are all alike: they say nothing.
    """

    level: tuple[float, float, float]
    spread: float
    bench: tuple[int, ...] = (0, 1, 2)
    is_error: bool = False
    """The number is the logarithm of an error: an anomaly model's."""

    def look(self, what: Stream) -> NDArray[np.float64]:
        number = np.asarray(self.level)[what.phase] - self.spread * what.scene
        return np.exp(number) if self.is_error else number

    def baseline(self, rng: np.random.Generator) -> Baseline:
        scores = self.look(pictures(rng, self.bench))
        edges = quantile_edges(scores)
        return Baseline(counts(scores, edges), edges)

    def observe(self, what: Stream, frames: int, known: Baseline) -> Observation:
        own = counts(self.look(first(what, frames)), known.edges)
        return observation(frames, counts(np.full(frames, 0.7)), Counter(), own)


@dataclass(frozen=True)
class Detector:
    """Margin of the surest box by phase of light. Where there is nothing to see, it sees nothing."""

    margin: tuple[float, float, float]
    spread: float
    bench: tuple[int, ...] = (0, 1, 2)
    half_empty: bool = False
    """Nothing is there to be seen in half of the frames, for seconds on end; else something always is."""

    def look(self, what: Stream) -> NDArray[np.float64]:
        scores = 1 / (1 + np.exp(-np.asarray(self.margin)[what.phase] - self.spread * what.scene))
        there = what.truth == 1 if self.half_empty else np.ones(len(scores), bool)
        return np.where(there & (scores >= LEAST_SCORE), scores, 0.0)

    def baseline(self, rng: np.random.Generator) -> Baseline:
        scores = self.look(pictures(rng, self.bench, truths=2))
        edges = quantile_edges(scores)
        return Baseline(counts(scores, edges), edges)

    def observe(self, what: Stream, frames: int, known: Baseline) -> Observation:
        scores = self.look(first(what, frames))
        labels = Counter({"person": int((scores >= 0.5).sum())})
        return observation(frames, counts(scores), +labels, counts(scores, known.edges))


def counts(scores: NDArray[np.float64], edges: Sequence[float] = SCORE_EDGES) -> Counts:
    return tuple(int(n) for n in count(scores, edges))


def pictures(rng: np.random.Generator, phases: tuple[int, ...], truths: int = 1) -> Stream:
    """Of a bench."""
    phase, scene = rng.choice(np.asarray(phases), BENCH), rng.normal(size=BENCH) + 0.2
    return Stream(phase, scene, rng.integers(0, truths, BENCH) if truths > 1 else np.zeros(BENCH, np.int64))


def first(what: Stream, frames: int) -> Stream:
    return Stream(what.phase[:frames], what.scene[:frames], what.truth[:frames])


def observation(frames: int, scores: Counts, labels: Counter[str], model_scores: Counts = ()) -> Observation:
    latency = tuple(frames if i == 50 else 0 for i in range(len(LATENCY_EDGES_US) + 1))
    return Observation(
        windows=1, decisions=frames, labels=labels, scores=scores, model_scores=model_scores, latency_us=latency
    )


def stream(rng: np.random.Generator, frames: int, start: int, difficulty: float, correlation: float = 0.95) -> Stream:
    memory = correlation ** np.arange(150)
    shocks = rng.normal(size=frames + len(memory) - 1) * np.sqrt(1 - correlation**2)
    scene = np.convolve(shocks, memory, mode="valid")
    runs = rng.exponential(60, size=frames // 10).astype(int) + 10
    truth = np.repeat(np.arange(len(runs)) % 2, runs)[:frames] ^ int(rng.integers(0, 2))
    phase = (np.arange(frames) + start) // (CYCLE // PHASES) % PHASES
    return Stream(phase.astype(np.int64), scene + difficulty, truth.astype(np.int64))


def verdict(new: Model, rng: np.random.Generator, *, wave: int = 1, control: int = 4, old: Model) -> str:
    """Ask the real gates as evidence grows, as the service does: the first answer that is not "wait", or "paused"."""
    start, names = int(rng.integers(0, CYCLE)), [f"d{i}" for i in range(wave + control)]
    baselines = {1: old.baseline(rng), 2: new.baseline(rng)}
    hard = {name: float(rng.normal()) * 0.2 for name in names}
    streams = {name: stream(rng, LOOKS[-1], start, hard[name]) for name in names}
    before = {
        name: old.observe(stream(rng, 1000, start - 1000, hard[name]), 1000, baselines[1]) for name in names[:wave]
    }
    for frames in LOOKS:
        view = FleetView(
            devices=tuple(
                DeviceView(
                    id=n, online=True, seen_ns=1, target="pi", models={"light": running(2 if n in before else 1)}
                )
                for n in names
            ),
            wave={n: new.observe(streams[n], frames, baselines[2]) for n in names[:wave]},
            control={n: old.observe(streams[n], frames, baselines[1]) for n in names[wave:]},
            past=before,
            baselines=baselines,
        )
        gates = judged(view, names, wave).gates
        if any(gate.verdict == "stop" for gate in gates):
            return "stop"
        if all(gate.verdict == "pass" for gate in gates):
            return "pass"
    return "paused"


def running(version: int) -> ModelReport:
    return ModelReport(version=version, state="COMMITTED", attempted=version)


def judged(view: FleetView, names: Sequence[str], wave: int) -> Wave:
    state = RolloutState(
        id="r", model="light", version=2, target="pi", plan=Plan(soak_s=10, wave_timeout_s=100), state="CANARY",
        scope=tuple(names), control_version=1, ordered=dict.fromkeys(names[:wave], 0.0),
        waves=(Wave(number=0, devices=tuple(names[:wave]), started_s=0.0, settled_s=0.0),),
    )  # fmt: skip
    tally = tally_of(names[:wave], state, view)
    seen = Evidence(state=state, wave=state.waves[0], tally=tally, view=view, references={}, now_s=20.0)
    return judge(seen)


def shares(new: Model, trials: int, *, old: Model, seed: int, wave: int = 1, control: int = 4) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    said = Counter(verdict(new, rng, wave=wave, control=control, old=old) for _ in range(trials))
    return {name: n / trials for name, n in said.items()}
