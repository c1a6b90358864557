"""The anomaly decider, on hand-made errors and on recordings."""

import csv
import gzip
import math
from pathlib import Path

import numpy as np
import pytest

from edge.errors import BadConfigError
from edge_agent.deciders import Inputs
from edge_agent.deciders.anomaly import Alarm, Anomaly, Threshold

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"
ACTIONS = ("alarm", "normal")
ALARM, NORMAL = 0, 1


def anomaly(**options: object) -> Anomaly:
    return Anomaly(Anomaly.Options(**{"warm_up": 50, "confirm": 1, "release": 1} | options), (), ACTIONS)


def judge(decider: Anomaly, errors: list[float]) -> list[int]:
    """Errors as they are: the sample is 0 and the reconstruction misses it by the root."""
    sample = np.zeros((4, 2), np.float32)
    return [
        decider.decide(Inputs(np.full((1, 4, 2), math.sqrt(error), np.float32), {}, float(t), sample)).action
        for t, error in enumerate(errors)
    ]


def usual(count: int, seed: int = 1) -> list[float]:
    return np.random.default_rng(seed).lognormal(-2, 0.2, count).tolist()


def test_what_is_usual_is_learned_without_labels_and_the_unusual_is_found() -> None:
    decider = anomaly()
    actions = judge(decider, usual(50) + usual(200, seed=2) + [2.0] + usual(5, seed=3))
    assert actions[:50] == [ALARM] * 50  # nothing is known yet: the safe action
    assert actions[50:250] == [NORMAL] * 200
    assert actions[250:] == [ALARM] + [NORMAL] * 5


def test_while_it_learns_another_action_may_be_chosen() -> None:
    assert judge(anomaly(warm_up_action="normal"), usual(10)) == [NORMAL] * 10


def test_an_anomaly_is_confirmed_and_released_by_several_frames() -> None:
    decider = anomaly(confirm=3, release=2)
    judge(decider, usual(60))
    assert judge(decider, [2, 2, 0.1, 2, 2, 2, 0.1, 2, 0.1, 0.1]) == [
        NORMAL, NORMAL, NORMAL, NORMAL, NORMAL, ALARM, ALARM, ALARM, ALARM, NORMAL,
    ]  # fmt: skip


def test_a_long_anomaly_does_not_become_the_usual_unless_asked_for() -> None:
    for learn, last in (("usual", ALARM), ("all", NORMAL)):
        decider = anomaly(memory=100, learn=learn)
        judge(decider, usual(100))
        assert judge(decider, [6.0 * x for x in usual(300)])[-1] == last


def test_a_model_that_is_always_right_does_not_cry_at_rounding() -> None:
    decider = anomaly()
    judge(decider, [0.0] * 60)
    assert judge(decider, [0.0] * 5) == [NORMAL] * 5
    threshold = Threshold(factor=6, least_ratio=1.5, memory=100, warm_up=10)
    for _ in range(20):
        threshold.learn(0.2)
    assert threshold.value() == pytest.approx(0.3)


def test_nan_is_unusual_and_is_not_learned() -> None:
    decider = anomaly()
    judge(decider, usual(60))
    assert judge(decider, [math.nan, math.inf, 0.1]) == [ALARM, ALARM, NORMAL]
    assert judge(anomaly(warm_up_action="normal"), [math.nan]) == [ALARM]


def test_its_memory_is_bounded() -> None:
    threshold = Threshold(factor=6, least_ratio=1.5, memory=100, warm_up=10)
    for error in usual(1000):
        threshold.learn(error)
    assert len(threshold._logs) == 100


def test_a_forecast_is_compared_with_the_next_frame() -> None:
    decider = anomaly(compare="forecast", warm_up=20)
    actions = []
    for step in range(60):
        value = 5.0 if step == 40 else math.sin(step / 3)
        told = math.sin((step + 1) / 3) + 0.01 * math.cos(7 * step)
        inputs = Inputs(np.array([[told]], np.float32), {}, float(step), np.array([[0.0], [value]], np.float32))
        actions.append(decider.decide(inputs).action)
    assert actions[:21] == [ALARM] * 21  # the first frame has nothing that it could be compared with
    assert [step for step, action in enumerate(actions) if action == ALARM and step > 20] == [40]


def test_a_model_that_does_not_reconstruct_its_input_is_explained() -> None:
    with pytest.raises(BadConfigError, match="3 values"):
        anomaly().decide(Inputs(np.zeros(3, np.float32), {}, 0.0, np.zeros((4, 2), np.float32)))
    with pytest.raises(BadConfigError, match="warm_up"):
        anomaly(warm_up=200, memory=100)


def test_an_alarm_needs_frames_in_a_row() -> None:
    alarm = Alarm(confirm=2, release=2)
    assert [alarm.step(unusual=unusual) for unusual in (True, False, True, True, False, True, False, False)] == [
        False, False, False, True, True, True, True, False,
    ]  # fmt: skip


def valve() -> tuple[np.ndarray, np.ndarray]:
    """A recording of a valve that is closed by hand for a while: rows of eight sensors, and where it was closed."""
    file = SHARED / "skab" / "valve1" / "0.csv.gz"
    if not file.is_file():
        pytest.skip("no recording of the valve here (shared/data/skab)")
    with gzip.open(file, "rt") as lines:
        rows = list(csv.reader(lines, delimiter=";"))[1:]
    return np.array([row[1:9] for row in rows], float), np.array([float(row[9]) for row in rows])


def test_on_a_real_valve_it_alarms_more_where_the_valve_was_closed() -> None:
    values, closed = valve()
    known = values[:300]
    scaled = (values - known.mean(axis=0)) / known.std(axis=0)
    _, _, axes = np.linalg.svd(scaled[:300], full_matrices=False)
    rebuilt = scaled @ axes[:4].T @ axes[:4]  # a linear autoencoder with four hidden values
    decider = Anomaly(Anomaly.Options(warm_up=200, confirm=3, factor=3.0), (), ACTIONS)
    actions = np.array([
        decider.decide(Inputs(out.astype(np.float32), {}, float(t), row.astype(np.float32))).action
        for t, (row, out) in enumerate(zip(scaled, rebuilt, strict=True))
    ])  # fmt: skip
    judged = np.arange(len(actions)) >= 200
    alarms = actions == ALARM
    assert alarms[judged & (closed == 1)].mean() > 2 * alarms[judged & (closed == 0)].mean()
