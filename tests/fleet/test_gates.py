"""What the quality gates are worth on the simulated canaries of `canaries.py`.

`docs/rollout.md` quotes the shares that are held here.
"""

from dataclasses import replace

import numpy as np
import pytest
from canaries import Classifier, Detector, Model, Scored, counts, judged, running, shares, stream
from hypothesis import given
from hypothesis import strategies as st

from edge.statistics import SCORE_EDGES, psi
from fleet.evidence import drift, excess
from fleet.plan import Plan
from fleet.rollout_state import Wave
from fleet.views import Baseline, DeviceView, FleetView

GOOD = Classifier((4.0, 3.0, 3.0), 1.5)
SHARPER = Classifier((6.0, 5.2, 5.2), 1.6)
SOFTER = Classifier((3.0, 2.4, 2.4), 1.0)
BLIND_IN_THE_DARK = Classifier((5.0, 0.8, -0.3), 1.6, bench=(0,))
SHARP_AND_BLIND = Classifier((9.0, 1.5, -0.5), 2.0, bench=(0,))


@pytest.mark.parametrize(("wave", "control"), [(1, 4), (3, 20)])
def test_the_same_model_under_a_new_number_is_stopped_in_less_than_one_of_a_hundred_canaries(
    wave: int, control: int
) -> None:
    said = shares(GOOD, 200 if control < 10 else 60, old=GOOD, seed=1, wave=wave, control=control)
    assert said.get("stop", 0) < 0.01
    assert said["pass"] >= 0.98


@pytest.mark.parametrize("better", [SHARPER, SOFTER], ids=["sharper", "softer"])
def test_a_good_model_with_another_confidence_is_stopped_in_less_than_one_of_a_hundred_canaries(
    better: Classifier,
) -> None:
    said = shares(better, 200, old=GOOD, seed=2)
    assert said.get("stop", 0) < 0.01
    assert said["pass"] >= 0.98


@pytest.mark.parametrize("blind", [BLIND_IN_THE_DARK, SHARP_AND_BLIND], ids=["soft", "sharp"])
@pytest.mark.parametrize(("wave", "control"), [(1, 4), (1, 1), (3, 20)])
def test_a_model_that_fails_in_the_dark_is_stopped_in_more_than_99_of_a_hundred(
    blind: Classifier, wave: int, control: int
) -> None:
    said = shares(blind, 150 if control < 10 else 40, old=GOOD, seed=3, wave=wave, control=control)
    assert said["stop"] > 0.99


ANOMALY = Scored((-4.0, -3.7, -3.7), 0.5, is_error=True)
ANOMALY_BLIND = Scored((-4.0, -2.6, -1.8), 0.5, bench=(0,), is_error=True)
REGRESSION = Scored((1.0, 1.1, 1.1), 0.4)
REGRESSION_BLIND = Scored((1.0, -0.2, -1.0), 0.4, bench=(0,))
DETECTOR = Detector((2.5, 2.0, 2.0), 1.0)
DETECTOR_BLIND = Detector((2.5, -1.0, -3.0), 1.0, bench=(0,))
DETECTOR_OF_A_QUIET_PLACE = replace(DETECTOR, half_empty=True)


@pytest.mark.parametrize(
    "same", [ANOMALY, REGRESSION, DETECTOR_OF_A_QUIET_PLACE], ids=["anomaly", "regression", "detector"]
)
@pytest.mark.parametrize(("wave", "control"), [(1, 4), (1, 1)])
def test_the_same_model_of_any_task_is_stopped_in_less_than_one_of_a_hundred_canaries(
    same: Model, wave: int, control: int
) -> None:
    said = shares(same, 200, old=same, seed=1, wave=wave, control=control)
    assert said.get("stop", 0) < 0.01
    assert said["pass"] >= 0.98


@pytest.mark.parametrize(
    ("blind", "old"),
    [(ANOMALY_BLIND, ANOMALY), (REGRESSION_BLIND, REGRESSION), (DETECTOR_BLIND, DETECTOR)],
    ids=["anomaly", "regression", "detector"],
)
@pytest.mark.parametrize(("wave", "control"), [(1, 4), (1, 1), (3, 20)])
def test_a_model_of_any_task_that_fails_in_the_dark_is_stopped_in_more_than_98_of_a_hundred(
    blind: Model, old: Model, wave: int, control: int
) -> None:
    said = shares(blind, 200 if control < 10 else 40, old=old, seed=3, wave=wave, control=control)
    assert said["stop"] > 0.98


def two_devices(model: Model, *, silent: frozenset[str] = frozenset()) -> Wave:
    """A canary and a control on the same model; the agents of `silent` ones count no scores of the model."""
    rng = np.random.default_rng(6)
    names, known = ["d0", "d1"], model.baseline(rng)
    seen = {name: model.observe(stream(rng, 2000, 0, 0.0), 2000, known) for name in names}
    seen |= {name: replace(seen[name], model_scores=()) for name in silent}
    view = FleetView(
        devices=tuple(
            DeviceView(id=n, online=True, seen_ns=1, models={"light": running(v)}) for n, v in (("d0", 2), ("d1", 1))
        ),
        wave={"d0": seen["d0"]},
        control={"d1": seen["d1"]},
        baselines={1: known, 2: known},
    )
    return judged(view, names, 1)


@pytest.mark.parametrize(("silent", "who"), [("d0", "of the wave"), ("d1", "on the old version")])
def test_agents_that_do_not_count_the_models_scores_make_the_gate_wait_and_are_named(silent: str, who: str) -> None:
    gates = {gate.name: gate for gate in two_devices(ANOMALY, silent=frozenset({silent})).gates}
    assert gates["score_drift"].verdict == "wait"
    assert gates["score_drift"].value is None
    assert f"0 of 1 device {who} have sent 500 scores of the model itself" in gates["score_drift"].text


def test_a_model_without_labels_has_no_label_mix_to_shift() -> None:
    gates = {gate.name: gate for gate in two_devices(ANOMALY).gates}
    assert (gates["score_drift"].verdict, gates["score_drift"].n) == ("pass", 1)
    assert (gates["label_shift"].verdict, gates["label_shift"].soft) == ("pass", True)
    assert gates["label_shift"].text == "neither version names a label"


@given(st.lists(st.integers(0, 1000), min_size=18, max_size=18).filter(any))
def test_bins_of_other_tasks_can_always_drift_and_what_has_not_changed_has_not(held: list[int]) -> None:
    edges = tuple(float(edge) for edge in range(17))
    baseline = Baseline(tuple(held), edges)
    rarest = held.index(min(held))
    assert drift(baseline, held) == 0
    assert drift(baseline, [10_000 if i == rarest else 0 for i in range(18)]) > Plan().max_score_drift


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
        wave={"d0": GOOD.observe(what["d0"], 500, Baseline(flat))},
        control={"d1": GOOD.observe(what["d1"], 500, Baseline(flat))},
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
