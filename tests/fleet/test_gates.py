"""What the quality gates are worth: streams of cameras through day, dusk and lamp light, with fixed seeds.

The streams are as unkind as real ones: frames are nearly copies of the frame before (correlation 0.95, so 500 of them
are worth about 13), labels stay for seconds, devices see light phases, harder and easier scenes than each other.
`docs/rollout.md` quotes the shares that are held here.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.messages import ModelReport
from edge.statistics import LATENCY_EDGES_US, SCORE_EDGES, count, psi
from fleet.evidence import drift, excess
from fleet.gates import Evidence, judge, tally_of
from fleet.plan import Plan
from fleet.rollout_state import RolloutState, Wave
from fleet.views import Baseline, DeviceView, FleetView, Observation

Counts = tuple[int, ...]
LOOKS = (500, 1000, 2000, 4000)
"""Scores a device at which the gates are asked until they answer; 500 is the plan's default minimum."""
CYCLE, PHASES = 300, 3


@dataclass(frozen=True)
class Model:
    """Margin of the right label by phase of light, and its spread over scenes. Score: logistic of the margin."""

    margin: tuple[float, float, float]
    spread: float
    bench: tuple[int, ...] = (0, 1, 2)
    """Phases in the pictures that its baseline was made of."""

    def look(
        self, phase: NDArray[np.int64], scene: NDArray[np.float64], truth: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        margin = np.asarray(self.margin)[phase] + self.spread * scene
        return np.where(margin > 0, truth, 1 - truth), 1 / (1 + np.exp(-np.abs(margin)))

    def baseline(self, rng: np.random.Generator) -> Baseline:
        """Independent pictures, a little easier than the field, as benches are."""
        phase = rng.choice(np.asarray(self.bench), 600)
        return Baseline(counts(self.look(phase, rng.normal(size=600) + 0.2, rng.integers(0, 2, 600))[1]))


GOOD = Model((4.0, 3.0, 3.0), 1.5)
SHARPER = Model((6.0, 5.2, 5.2), 1.6)
SOFTER = Model((3.0, 2.4, 2.4), 1.0)
BLIND_IN_THE_DARK = Model((5.0, 0.8, -0.3), 1.6, bench=(0,))
SHARP_AND_BLIND = Model((9.0, 1.5, -0.5), 2.0, bench=(0,))


def counts(scores: NDArray[np.float64]) -> Counts:
    return tuple(int(n) for n in count(scores, SCORE_EDGES))


@dataclass(frozen=True)
class Stream:
    """What one camera sees: phase of light, how hard the scene is, and the truth, frame by frame."""

    phase: NDArray[np.int64]
    scene: NDArray[np.float64]
    truth: NDArray[np.int64]


def stream(rng: np.random.Generator, frames: int, start: int, difficulty: float, correlation: float = 0.95) -> Stream:
    memory = correlation ** np.arange(150)
    shocks = rng.normal(size=frames + len(memory) - 1) * np.sqrt(1 - correlation**2)
    scene = np.convolve(shocks, memory, mode="valid")
    runs = rng.exponential(60, size=frames // 10).astype(int) + 10
    truth = np.repeat(np.arange(len(runs)) % 2, runs)[:frames] ^ int(rng.integers(0, 2))
    phase = (np.arange(frames) + start) // (CYCLE // PHASES) % PHASES
    return Stream(phase.astype(np.int64), scene + difficulty, truth.astype(np.int64))


def seen_by(model: Model, what: Stream, frames: int) -> Observation:
    labels, scores = model.look(what.phase[:frames], what.scene[:frames], what.truth[:frames])
    mix = Counter("red" if label == 0 else "green" for label in labels)
    latency = tuple(frames if i == 50 else 0 for i in range(len(LATENCY_EDGES_US) + 1))
    return Observation(windows=1, decisions=frames, labels=mix, scores=counts(scores), latency_us=latency)


def verdict(new: Model, rng: np.random.Generator, *, wave: int = 1, control: int = 4, old: Model = GOOD) -> str:
    """Ask the real gates as evidence grows, as the service does: the first answer that is not "wait", or "paused"."""
    start, names = int(rng.integers(0, CYCLE)), [f"d{i}" for i in range(wave + control)]
    baselines = {1: old.baseline(rng), 2: new.baseline(rng)}
    hard = {name: float(rng.normal()) * 0.2 for name in names}
    streams = {name: stream(rng, LOOKS[-1], start, hard[name]) for name in names}
    before = {name: seen_by(old, stream(rng, 1000, start - 1000, hard[name]), 1000) for name in names[:wave]}
    for frames in LOOKS:
        view = FleetView(
            devices=tuple(
                DeviceView(
                    id=n, online=True, seen_ns=1, target="pi", models={"light": running(2 if n in before else 1)}
                )
                for n in names
            ),
            wave={n: seen_by(new, streams[n], frames) for n in names[:wave]},
            control={n: seen_by(old, streams[n], frames) for n in names[wave:]},
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


def shares(new: Model, trials: int, *, seed: int, wave: int = 1, control: int = 4) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    said = Counter(verdict(new, rng, wave=wave, control=control) for _ in range(trials))
    return {name: n / trials for name, n in said.items()}


@pytest.mark.parametrize(("wave", "control"), [(1, 4), (3, 20)])
def test_the_same_model_under_a_new_number_is_stopped_in_less_than_one_of_a_hundred_canaries(
    wave: int, control: int
) -> None:
    said = shares(GOOD, 200 if control < 10 else 60, seed=1, wave=wave, control=control)
    assert said.get("stop", 0) < 0.01
    assert said["pass"] >= 0.98


@pytest.mark.parametrize("better", [SHARPER, SOFTER], ids=["sharper", "softer"])
def test_a_good_model_with_another_confidence_is_stopped_in_less_than_one_of_a_hundred_canaries(better: Model) -> None:
    said = shares(better, 200, seed=2)
    assert said.get("stop", 0) < 0.01
    assert said["pass"] >= 0.98


@pytest.mark.parametrize("blind", [BLIND_IN_THE_DARK, SHARP_AND_BLIND], ids=["soft", "sharp"])
@pytest.mark.parametrize(("wave", "control"), [(1, 4), (1, 1), (3, 20)])
def test_a_model_that_fails_in_the_dark_is_stopped_in_more_than_99_of_a_hundred(
    blind: Model, wave: int, control: int
) -> None:
    said = shares(blind, 150 if control < 10 else 40, seed=3, wave=wave, control=control)
    assert said["stop"] > 0.99


def test_half_blind_gates_wait_instead_of_answering() -> None:
    """At 500 correlated frames a canary of one cannot show a drift as small as the limit: that is no pass."""
    rng = np.random.default_rng(4)
    names = ["d0", "d1"]
    flat = tuple(10 for _ in range(len(SCORE_EDGES) + 1))
    what = {name: stream(rng, 500, 0, 0.0) for name in names}
    view = FleetView(
        devices=tuple(
            DeviceView(id=n, online=True, seen_ns=1, models={"light": running(v)}) for n, v in (("d0", 2), ("d1", 1))
        ),
        wave={"d0": seen_by(GOOD, what["d0"], 500)},
        control={"d1": seen_by(GOOD, what["d1"], 500)},
        baselines={1: Baseline(flat), 2: Baseline(flat)},
    )
    drift_gate = next(gate for gate in judged(view, names, 1).gates if gate.name == "score_drift")
    assert drift_gate.verdict == "wait"


def test_a_few_blurred_frames_are_no_catastrophe_to_a_sharp_model_and_many_are() -> None:
    sharp = counts(np.full(1000, 0.9999))

    def blurred(share: float) -> float:
        part = int(1000 * share)
        return drift(Baseline(sharp), counts(np.concatenate([np.full(1000 - part, 0.9999), np.full(part, 0.4)])))

    plain = psi(sharp, counts(np.concatenate([np.full(950, 0.9999), np.full(50, 0.4)])))
    assert plain > 4 * blurred(0.05)
    assert blurred(0.05) < 0.1 < blurred(0.1) < Plan().max_score_drift < blurred(0.2) < blurred(1.0)


def test_a_wave_is_compared_with_the_control_or_with_its_own_past_whichever_was_worse() -> None:
    assert excess([0.5], [0.1, 0.1]).value == pytest.approx(0.4)
    assert excess([0.5], [0.1, 0.1], reference=0.45).value == pytest.approx(0.05)
    assert excess([0.5], [], reference=0.2).value == pytest.approx(0.3)
    with pytest.raises(ValueError, match="evidence"):
        excess([], [0.1])


def test_a_handful_of_devices_that_agree_by_chance_is_no_certainty() -> None:
    assert not excess([0.4], [0.1, 0.1], noise=0.09).surely_above(0.25)
    assert excess([2.0], [0.1, 0.1], noise=0.09).surely_above(0.25)
