"""The figures of the stop-go demo: who counts, who does not."""

import numpy as np
import pytest

from demos.stop_go.score import PhaseScore, Span, Truth, decisions, held_frames, join_spans, pace, score_phases
from edge_agent.actuators.recorder import Line

MS = 1_000_000
ALWAYS = (Span(1, 0, 10**18),)


def truth(*runs: tuple[int, int, int]) -> Truth:
    """(label, phase, frames) in order, at 100 frames a second."""
    labels = np.concatenate([np.full(count, label, np.int8) for label, _, count in runs])
    phases = np.concatenate([np.full(count, phase, np.int8) for _, phase, count in runs])
    return Truth(labels, phases, 100.0)


def drive(actions: str) -> list[Line]:
    """One decision a frame, 10 ms apart, 3 ms old: g is go, s is stop."""
    return [
        Line((index * 10 + 3) * MS, index + 1, index * 10 * MS, "go" if action == "g" else "stop", False)
        for index, action in enumerate(actions)
    ]


def test_go_on_red_is_false_in_its_own_light() -> None:
    seen = truth((0, 0, 4), (0, 1, 4))
    scores = score_phases(drive("ssssgsss"), seen, ALWAYS, hold_s=0.0)
    assert scores == {1: {0: PhaseScore(red=4), 1: PhaseScore(red=4, false_go=1)}}


def test_green_counts_only_after_the_hold_time_and_one_frame() -> None:
    seen = truth((0, 0, 2), (2, 0, 8))
    score = score_phases(drive("ss" + "sssgggsg"), seen, ALWAYS, hold_s=0.02)[1][0]
    assert (score.green, score.missed_go) == (5, 1)


def test_stop_on_yellow_or_on_nothing_is_neither_good_nor_bad() -> None:
    scores = score_phases(drive("gsgs"), truth((1, 0, 2), (3, 0, 2)), ALWAYS, hold_s=0.0)
    assert scores[1][0] == PhaseScore()
    assert scores[1][0].false_go_share is None
    assert scores[1][0].go_share is None


def test_frames_go_round_with_the_stream() -> None:
    seen = truth((0, 0, 2), (2, 0, 2))
    assert score_phases(drive("ssggssggss"), seen, ALWAYS, hold_s=0.0)[1][0].red == 6


def test_a_frame_that_no_version_surely_decided_counts_nowhere() -> None:
    seen = truth((0, 0, 10))
    spans = (Span(1, 0, 30 * MS), Span(2, 60 * MS, 80 * MS))
    scores = score_phases(drive("ssssssssss"), seen, spans, hold_s=0.0)
    assert {version: phases[0].red for version, phases in scores.items()} == {1: 3, 2: 2}


def test_the_dead_man_and_refreshes_are_no_decisions() -> None:
    lines = [
        Line(1, 1, 0, "stop", False),
        Line(2, 1, 0, "stop", False),
        Line(3, 1, 0, "stop", True),
        Line(4, 0, 0, "stop", False),
        Line(5, 2, 4, "go", False),
    ]
    assert [line.frame for line in decisions(lines)] == [1, 2]


def test_how_long_a_label_has_been_seen_starts_anew_with_each_scene() -> None:
    assert held_frames(np.array([2, 2, 0, 2, 2, 2], np.int8)).tolist() == [0, 1, 0, 0, 1, 2]


def test_pace_finds_the_longest_gap_and_the_age_of_frames() -> None:
    lines = drive("ssss")
    lines.append(Line(1033 * MS, 5, 1030 * MS, "stop", False))
    found = pace(lines)
    assert found.decisions == 5
    assert found.max_gap_s == pytest.approx(1.0)
    assert found.age_p50_ms == pytest.approx(3.0)
    assert found.per_s == pytest.approx(4 / 1.03)


def test_a_device_that_never_decided_has_no_pace() -> None:
    assert pace([]).decisions == 0
    assert score_phases([], truth((0, 0, 1)), ALWAYS, hold_s=0.1) == {}


def test_time_between_two_versions_belongs_to_neither() -> None:
    seen = [(0, 0), (10, 1), (20, 1), (30, 1), (40, 2), (50, 2), (60, 1), (70, 1)]
    assert join_spans(seen) == (Span(1, 10, 30), Span(2, 40, 50), Span(1, 60, 70))
