import numpy as np

from edge.messages import Body, encode
from edge.statistics import SCORE_EDGES, count
from edge_agent.records import NO_SCORE, RECORD_BYTES, Applied, Decided, unpack
from edge_agent.uplink.windows import DECISIONS_PER_WINDOW, QUIET_WINDOWS, Windows
from edge_agent.watch.drift import MIN_SCORES, DriftWatch
from edge_agent.watch.trial import Trial

MS = 1_000_000


def decided(
    frame: int,
    *,
    epoch: int = 1,
    score: float = 0.95,
    label: int = 0,
    action: int = 0,
    dropped: int = 0,
    model_score: float = NO_SCORE,
) -> Decided:
    at = frame * 33 * MS
    return Decided(
        dropped,
        epoch,
        frame,
        at,
        at + MS,
        at + 2 * MS,
        at + 3 * MS,
        at + 5 * MS,
        at + 6 * MS,
        score,
        0.6,
        label,
        action,
        model_score,
    )


def applied(frame: int, *, epoch: int = 1, safe: int = 0, action: int = 0, age_ms: int = 8) -> Applied:
    at = frame * 33 * MS
    return Applied(safe, action, epoch, frame, at, at + 6 * MS, at + age_ms * MS)


def windows() -> Windows:
    made = Windows("light", ("stop", "go"))
    made.know_epoch(1, 4)
    made.know_labels(4, ("red", "green"))
    return made


def test_a_window_adds_up_what_was_decided_and_applied() -> None:
    made = windows()
    for frame in range(30):
        made.add(decided(frame, label=frame % 2, score=0.5 if frame < 10 else 0.97, dropped=1))
        made.add(applied(frame, action=frame % 2))
    made.add(applied(0, safe=1))
    (row,), _ = made.close(1.0)
    assert (row.model, row.version, row.decisions, row.unsure, row.dropped) == ("light", 4, 30, 10, 30)
    assert (row.labels, row.actions) == ({"red": 15, "green": 15}, {"stop": 16, "go": 15})
    assert (sum(row.scores), sum(row.latency_us), sum(row.age_ms)) == (30, 30, 30)
    assert abs(row.max_gap_ms - 33) < 1e-6
    assert made.close(1.0) == ([], [])


EDGES = tuple(float(edge) for edge in range(1, len(SCORE_EDGES) + 1))


def test_the_models_own_scores_are_counted_by_the_edges_of_the_bundle_that_decides() -> None:
    made = windows()
    made.know_epoch(2, 5)
    made.know_edges(4, EDGES)
    made.know_edges(5, tuple(edge / 10 for edge in EDGES))
    for frame in range(8):
        made.add(decided(frame, epoch=1 + frame // 4, model_score=1.5))
    rows, _ = made.close(1.0)
    assert {row.version: row.model_scores for row in rows} == {
        version: tuple(count([1.5] * 4, tuple(edge / scale for edge in EDGES)).tolist())
        for version, scale in ((4, 1), (5, 10))
    }
    assert [sum(row.scores) for row in rows] == [4, 4]


def test_a_classifier_whose_decider_scores_as_its_baseline_sends_no_scores_besides() -> None:
    made = windows()
    made.know_edges(4, ())
    made.add(decided(0))
    assert made.close(1.0)[0][0].model_scores == ()
    made.add(decided(1, model_score=0.97))
    assert made.close(1.0)[0][0].model_scores == tuple(count([0.97], SCORE_EDGES).tolist())


def test_scores_are_not_counted_by_edges_that_are_not_known_yet() -> None:
    made = windows()
    made.add(decided(0, model_score=1.5))
    assert made.close(1.0)[0][0].model_scores == ()


def test_a_record_carries_the_models_score_in_the_size_it_had() -> None:
    there = unpack(decided(7, model_score=2.5).pack())
    assert isinstance(there, Decided)
    assert (there.model_score, there.action, RECORD_BYTES) == (2.5, 0, 80)


def test_the_gap_between_two_versions_is_counted_too() -> None:
    made = windows()
    made.know_epoch(2, 5)
    made.add(decided(0))
    made.add(decided(10, epoch=2))
    rows, _ = made.close(1.0)
    assert {row.version: round(row.max_gap_ms) for row in rows} == {4: 0, 5: 330}


def test_decisions_of_an_epoch_that_is_not_known_yet_wait_for_its_name() -> None:
    made = windows()
    made.add(decided(1, epoch=2))
    assert made.close(1.0) == ([], [])
    made.know_epoch(2, 5)
    (row,), _ = made.close(1.0)
    assert (row.version, row.decisions) == (5, 1)
    made.add(decided(2, epoch=3))
    for _ in range(12):
        made.close(1.0)
    made.know_epoch(3, 6)
    assert made.close(1.0) == ([], [])


def test_a_decision_is_sent_when_it_differs_from_the_one_before() -> None:
    made = windows()
    for frame, label in enumerate([0, 0, 1, 1]):
        made.add(decided(frame, label=label, action=label))
    _, rows = made.close(1.0)
    assert [(row.frame, row.label, row.action) for row in rows] == [(0, "red", "stop"), (2, "green", "go")]
    assert (rows[0].age_ms, rows[0].latency_us) == (6.0, 4000.0)


def test_a_decision_is_sent_now_and_then_even_if_nothing_changes() -> None:
    made, sent = windows(), 0
    for frame in range(3 * QUIET_WINDOWS):
        made.add(decided(frame))
        sent += len(made.close(1.0)[1])
    assert 2 <= sent <= 4


def test_a_flickering_model_does_not_fill_the_outbox() -> None:
    made = windows()
    for frame in range(100):
        made.add(decided(frame, label=frame % 2))
    _, rows = made.close(1.0)
    assert len(rows) == DECISIONS_PER_WINDOW
    assert rows[-1].frame == 99


def test_a_score_that_is_no_number_is_unsure_and_can_still_be_sent() -> None:
    made = windows()
    made.add(decided(0, score=float("nan"), label=-1, action=9))
    (window,), (row,) = made.close(1.0)
    assert (window.unsure, window.labels, row.score, row.label, row.action) == (1, {}, 0.0, "", "9")
    for body in (window, row):
        assert isinstance(body, Body)
        assert encode(body)


def test_clocks_that_disagree_give_no_negative_times() -> None:
    made = windows()
    made.add(applied(3, age_ms=-5))
    (row,), _ = made.close(1.0)
    assert sum(row.age_ms) == 1


def test_drift_is_said_once_when_the_scores_leave_the_baseline() -> None:
    dice = np.random.default_rng(3)
    healthy, poor = (count(dice.beta(a, 2, 5000), SCORE_EDGES) for a in (30, 4))
    watch = DriftWatch(tuple(healthy.tolist()), limit=0.2)
    said = [watch.add(count(dice.beta(30, 2, 100), SCORE_EDGES)) for _ in range(30)]
    assert not any(said)
    assert watch.value is not None
    assert watch.value < 0.1
    said = [watch.add(count(dice.beta(4, 2, 100), SCORE_EDGES)) for _ in range(40)]
    assert said.count(True) == 1
    assert watch.value > 0.2
    assert poor.sum() == 5000


def test_drift_is_not_judged_on_few_scores_or_without_a_baseline() -> None:
    watch = DriftWatch((100,) * (len(SCORE_EDGES) + 1), limit=0.2)
    watch.add(count([0.01] * (MIN_SCORES - 1), SCORE_EDGES))
    assert watch.value is None
    assert not DriftWatch((), limit=0.2).add(count([0.01] * 1000, SCORE_EDGES))


def trial() -> Trial:
    return Trial(version=2, began_s=0.0, probation_s=60.0, quiet_s=10.0)


def test_probation_ends_well_after_its_time_if_the_version_decides() -> None:
    made = trial()
    for second in range(60):
        made.decided(2, 30, float(second))
        assert made.verdict(float(second), 2) is None
    assert made.verdict(60.0, 2) == ""


def test_a_watcher_that_was_held_up_blames_nobody_for_what_it_has_not_counted() -> None:
    made = trial()
    made.decided(2, 30, 5.0)
    made.looked(5.0)
    assert made.verdict(40.0, 2) is None
    made.looked(40.0)
    assert "no decision" in (made.verdict(40.0, 2) or "")


def test_probation_ends_badly_without_decisions_with_a_fault_or_under_another_version() -> None:
    silent = trial()
    silent.looked(9.0)
    assert silent.verdict(9.0, 2) is None
    silent.looked(11.0)
    assert "no decision" in (silent.verdict(11.0, 2) or "")
    other = trial()
    other.decided(1, 30, 9.0)
    other.looked(11.0)
    assert "no decision" in (other.verdict(11.0, 2) or "")
    assert "version 1" in (trial().verdict(1.0, 1) or "")
    crashed = trial()
    crashed.fault("capture", "the camera is gone")
    assert crashed.verdict(1.0, 2) is None
    crashed.fault("loop-1", "signal 6")
    assert crashed.verdict(1.0, 2) == "loop-1: signal 6"
