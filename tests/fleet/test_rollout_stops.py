"""What stops a rollout, and that a lack of evidence never passes one."""

from __future__ import annotations

import pytest
from rollouts import BAD, FAST, GOOD, NEW, OLD, SLOW, Fleet, begun, five, gate, seen

from fleet import rollout
from fleet.plan import Plan
from fleet.views import FleetView


def test_scores_that_leave_their_baseline_roll_the_canary_back_and_name_the_figure() -> None:
    fleet = five()
    fleet.behaviour = seen(BAD)
    state = fleet.run(begun(fleet))
    assert state.state == "ROLLED_BACK"
    assert len(state.waves) == 1
    assert fleet.running(OLD) == fleet.names
    assert state.reason.startswith("score_drift: scores left their baseline by PSI ")
    assert "limit 0.25" in state.reason
    assert gate(state, "score_drift").verdict == "stop"


def test_one_label_in_the_dark_rolls_the_canary_back() -> None:
    fleet = five()
    fleet.behaviour = seen(GOOD, FAST, red=990, green=10)
    state = fleet.run(begun(fleet))
    assert (state.state, state.reason.split(":")[0]) == ("ROLLED_BACK", "label_shift")


def test_a_slower_version_is_rolled_back() -> None:
    fleet = five()
    fleet.behaviour = seen(GOOD, SLOW)
    state = fleet.run(begun(fleet))
    assert (state.state, state.reason.split(":")[0]) == ("ROLLED_BACK", "latency_p95")
    assert "x, limit 1.2x" in state.reason


def test_a_canary_that_fails_its_self_test_is_rolled_back_with_the_devices_own_reason() -> None:
    fleet = five()
    state = fleet.step(begun(fleet))
    fleet.now_s += 1
    fleet.fail(state.waves[0].devices[0])
    state = fleet.run(state)
    assert state.state == "ROLLED_BACK"
    assert "golden sample 3 differs" in state.reason
    assert len(state.waves) == 1


def test_a_failure_from_before_the_order_is_not_this_rollouts_failure() -> None:
    fleet = five()
    for name in fleet.names:
        fleet.fail(name)
        fleet.say(name, OLD, "FAILED", attempted=NEW, reason="DISK_FULL: last week")
    fleet.now_s += 60
    state = fleet.run(begun(fleet))
    assert state.state == "DONE"


def test_a_device_that_rolls_back_late_counts_in_later_waves() -> None:
    fleet = Fleet([f"d{i}" for i in range(20)])
    state = begun(fleet, Plan(waves=(0.1, 1.0), soak_s=10, wave_timeout_s=100))
    while state.state != "WAVE":
        state = fleet.step(state)
        for name in fleet.names:
            fleet.obey(name)
    fleet.now_s += 1
    for name in state.waves[0].devices:
        fleet.fail(name)
    state = fleet.step(state)
    assert state.state == "ROLLING_BACK"
    assert state.reason.startswith("failures")


@pytest.mark.parametrize("silent", ["wave", "control"])
def test_a_wave_without_telemetry_pauses_and_never_passes(silent: str) -> None:
    fleet = five()
    state = fleet.step(begun(fleet))
    canary = set(state.waves[0].devices)
    fleet.blind = canary if silent == "wave" else set(fleet.names) - canary
    state = fleet.run(state)
    assert state.state == "PAUSED"
    assert "score_drift" in state.reason
    assert fleet.running(NEW) == sorted(canary)


def test_offline_devices_are_pending_and_neither_fail_nor_prove_a_wave() -> None:
    fleet = Fleet([f"d{i}" for i in range(20)])
    state = fleet.step(begun(fleet, Plan(waves=(0.5, 1.0), soak_s=10, wave_timeout_s=100)))
    fleet.offline = set(state.waves[0].devices[:6])
    paused = fleet.run(state)
    assert paused.state == "PAUSED"  # 4 of 10 reached: too few to speak for the wave
    assert paused.waves[-1].tally.offline == 6
    fleet.offline = set(state.waves[0].devices[:5])
    resumed = fleet.take(rollout.resume(paused, fleet.now_s))
    state = fleet.run(resumed)
    assert state.state == "DONE"
    assert "5 will follow" in state.reason


def test_a_missing_baseline_waits() -> None:
    fleet = five()
    state = fleet.step(begun(fleet))
    fleet.obey(state.waves[0].devices[0])
    for _ in range(30):
        fleet.now_s += 1
        view = fleet.view(state)
        view = FleetView(devices=view.devices, wave=view.wave, control=view.control)
        state = fleet.take(rollout.step(state, view, fleet.now_s))
    assert (state.state, gate(state, "score_drift").verdict) == ("CANARY", "wait")
