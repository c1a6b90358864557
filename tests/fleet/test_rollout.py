"""A rollout goes forward wave by wave, and people may halt it or take it back."""

from __future__ import annotations

import random

import msgspec
import pytest
from rollouts import BAD, MODEL, NEW, OLD, PLAN, Fleet, begun, five, gate, seen

from edge.errors import FleetError
from fleet import rollout
from fleet.plan import Plan, wave_sizes
from fleet.views import FleetView, Order


def test_a_good_version_reaches_everybody_wave_by_wave() -> None:
    fleet = five()
    state = fleet.run(begun(fleet))
    assert state.state == "DONE"
    assert fleet.running(NEW) == fleet.names
    assert [len(wave.devices) for wave in state.waves] == [1, 1, 3]  # 1 %, 10 % would add nobody, 50 %, 100 %
    for wave in state.waves:
        assert {gate.verdict for gate in wave.gates} == {"pass"}
        assert {gate.name for gate in wave.gates} == {
            "committed_share", "failures", "soak", "score_drift", "label_shift", "latency_p95", "unsure_share",
        }  # fmt: skip
        assert wave.ended_s is not None
        assert wave.settled_s is not None
        assert wave.ended_s - wave.settled_s >= PLAN.soak_s


def test_wave_sizes_grow_and_leave_out_waves_that_add_nobody() -> None:
    plan = Plan()
    assert wave_sizes(plan, 5) == (1, 2, 5)
    assert wave_sizes(plan, 1) == (1,)
    assert wave_sizes(plan, 1000) == (10, 100, 500, 1000)
    assert wave_sizes(Plan(waves=(3.0, 0.5, 1.0)), 10) == (3, 5, 10)
    assert wave_sizes(Plan(waves=(0.29,)), 100) == (29,)


def test_the_same_rollout_chooses_the_same_devices_and_another_one_chooses_others() -> None:
    def canary(rollout_id: str) -> tuple[str, ...]:
        fleet = Fleet([f"d{i:03}" for i in range(300)])
        return fleet.step(begun(fleet, rollout_id=rollout_id)).waves[0].devices

    assert canary("r1") == canary("r1")
    assert canary("r1") != canary("r2")


def test_the_canary_is_chosen_among_devices_that_are_there() -> None:
    for seed in range(20):
        fleet = five()
        fleet.offline = set(random.Random(seed).sample(fleet.names, 4))
        state = fleet.step(begun(fleet, rollout_id=f"r{seed}"))
        assert set(state.waves[0].devices).isdisjoint(fleet.offline)


def test_orders_keep_to_the_rate_limit() -> None:
    fleet = Fleet([f"d{i}" for i in range(50)])
    state = fleet.step(begun(fleet, Plan(waves=(1.0,), rate_per_minute=10, soak_s=10, wave_timeout_s=1000)))
    counts = [len(state.ordered)]
    for _ in range(7):
        state = fleet.step(state, passed_s=20)
        counts.append(len(state.ordered))
    assert counts == [10, 10, 10, 20, 20, 20, 30, 30]


def test_a_rollout_waits_while_no_device_of_its_target_has_spoken() -> None:
    drafted = rollout.draft("r1", MODEL, NEW, target="pi", now_s=0)
    state, _ = rollout.start(drafted, 0)
    state, orders = rollout.step(state, FleetView(devices=()), 1)
    assert (state.state, orders) == ("APPROVED", ())
    assert "pi" in state.reason


def test_devices_that_run_the_version_already_are_not_ordered_again() -> None:
    fleet = five()
    for name in fleet.names:
        fleet.say(name, NEW, "COMMITTED", attempted=NEW)
    state = fleet.step(begun(fleet))
    assert (state.state, fleet.orders) == ("DONE", [])


def test_a_first_version_is_rolled_out_although_there_is_nothing_to_compare_it_with() -> None:
    fleet = five()
    for name in fleet.names:
        fleet.say(name, 0, "IDLE", attempted=0)
    fleet.behaviour = seen(BAD)  # far from the bench: said, but there is no older version that does better
    state = fleet.run(begun(fleet))
    assert state.state == "DONE"
    assert gate(state, "score_drift").soft


def test_two_rollouts_of_one_model_exclude_each_other() -> None:
    fleet = five()
    first = fleet.step(begun(fleet))
    second = rollout.draft("r2", MODEL, 3, target="pi", now_s=0)
    with pytest.raises(FleetError, match="rollout r1 of light 2 is CANARY"):
        rollout.start(second, 0, others=[first])
    over, _ = rollout.abort(rollout.draft("r1", MODEL, NEW, target="pi", now_s=0), 0)
    assert rollout.start(second, 0, others=[over])[0].state == "APPROVED"
    other_model = rollout.draft("r3", "gauge", 1, target="pi", now_s=0)
    assert rollout.start(other_model, 0, others=[first])[0].state == "APPROVED"


def test_an_abort_takes_back_what_was_ordered() -> None:
    fleet = five()
    state = fleet.step(begun(fleet))
    fleet.obey(state.waves[0].devices[0])
    state = fleet.run(fleet.take(rollout.abort(state, fleet.now_s)))
    assert state.state == "ABORTED"
    assert fleet.running(OLD) == fleet.names
    assert set(rollout.wishes(state)) == {Order(d, MODEL, OLD) for d in state.waves[0].devices}


def test_a_rollback_does_not_wait_for_offline_devices_but_keeps_their_order() -> None:
    fleet = five()
    state = fleet.step(begun(fleet))
    canary = state.waves[0].devices[0]
    fleet.obey(canary)
    fleet.offline = {canary}
    state = fleet.run(fleet.take(rollout.abort(state, fleet.now_s)))
    assert state.state == "ABORTED"
    assert fleet.wanted[canary] == OLD


def test_a_device_still_downloading_is_not_yet_back() -> None:
    fleet = five()
    state = fleet.step(begun(fleet))
    canary = state.waves[0].devices[0]
    fleet.say(canary, OLD, "DOWNLOADING", attempted=NEW)
    state = fleet.step(fleet.take(rollout.abort(state, fleet.now_s)))
    assert state.state == "ROLLING_BACK"
    fleet.say(canary, OLD, "COMMITTED", attempted=OLD)
    assert fleet.step(state).state == "ABORTED"


def test_a_device_that_had_no_version_gets_its_wish_withdrawn() -> None:
    fleet = five()
    for name in fleet.names:
        fleet.say(name, 0, "IDLE", attempted=0)
    state = fleet.step(begun(fleet))
    canary = state.waves[0].devices[0]
    state = fleet.take(rollout.abort(state, fleet.now_s))
    assert fleet.orders[-1] == Order(canary, MODEL, 0)
    assert fleet.step(state).state == "ABORTED"


def test_resume_gives_the_wave_its_whole_time_again() -> None:
    fleet = five()
    state = fleet.step(begun(fleet))
    fleet.obey(state.waves[0].devices[0])
    state = fleet.step(state, passed_s=5)
    state = fleet.take(rollout.pause(state, fleet.now_s))
    state = fleet.step(state, passed_s=5000)
    assert state.state == "PAUSED"
    state = fleet.step(fleet.take(rollout.resume(state, fleet.now_s)), passed_s=5)
    assert (state.state, gate(state, "soak").verdict) == ("CANARY", "wait")
    assert fleet.run(state).state == "DONE"


def test_a_plan_that_could_never_pass_is_refused() -> None:
    with pytest.raises(ValueError, match="wave_timeout_s"):
        Plan(soak_s=100, wave_timeout_s=50)
    with pytest.raises(msgspec.ValidationError, match="soak"):
        msgspec.json.decode(b'{"soaks": 5}', type=Plan)
