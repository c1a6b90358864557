from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge.errors import FleetError
from edge.messages import ModelReport
from edge.statistics import LATENCY_EDGES_US, SCORE_EDGES
from fleet import rollout
from fleet.plan import Plan, wave_sizes
from fleet.rollout_state import FINAL, RUNNING, Gate, RolloutState
from fleet.views import Baseline, DeviceView, FleetView, Observation, Order

MODEL, OLD, NEW = "light", 1, 2
GOOD = tuple([0] * 10 + [20, 30, 50, 100, 200, 300, 200, 100])
BAD = tuple([0] * 2 + [100, 200, 300, 200, 100] + [0] * 11)
FAST = tuple(1000 if i == 50 else 0 for i in range(len(LATENCY_EDGES_US) + 1))
SLOW = tuple(1000 if i == 60 else 0 for i in range(len(LATENCY_EDGES_US) + 1))
PLAN = Plan(soak_s=10, wave_timeout_s=100)
assert len(GOOD) == len(BAD) == len(SCORE_EDGES) + 1


def seen(scores: tuple[int, ...] = GOOD, latency: tuple[int, ...] = FAST, **labels: int) -> Observation:
    mix = labels or {"red": 500, "green": 500}
    return Observation(windows=10, span_ms=1e4, decisions=1000, labels=mix, scores=scores, latency_us=latency)


@dataclass
class Fleet:
    """Devices that do what they are ordered when the test says so."""

    names: list[str]
    now_s: float = 1000.0
    version: dict[str, int] = field(default_factory=dict)
    report: dict[str, ModelReport] = field(default_factory=dict)
    changed_s: dict[str, float] = field(default_factory=dict)
    wanted: dict[str, int] = field(default_factory=dict)
    offline: set[str] = field(default_factory=set)
    behaviour: Observation = field(default_factory=seen)  # of the new version
    blind: set[str] = field(default_factory=set)  # send no telemetry
    orders: list[Order] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in self.names:
            self.say(name, OLD, "COMMITTED", attempted=OLD)

    def say(self, name: str, version: int, state: str, *, attempted: int, reason: str = "") -> None:
        self.report[name] = ModelReport(version=version, state=state, attempted=attempted, reason=reason)  # type: ignore[arg-type]
        self.changed_s[name] = self.now_s

    def obey(self, name: str) -> None:
        if name in self.wanted and name not in self.offline and self.report[name].version != self.wanted[name]:
            self.say(name, self.wanted[name], "COMMITTED", attempted=self.wanted[name])

    def fail(self, name: str) -> None:
        if self.wanted.get(name) == NEW and name not in self.offline:
            self.say(name, OLD, "ROLLED_BACK", attempted=NEW, reason="SELFTEST: golden sample 3 differs")

    def running(self, version: int) -> list[str]:
        return [name for name in self.names if self.report[name].version == version]

    def view(self, state: RolloutState) -> FleetView:
        devices = tuple(
            DeviceView(
                id=name,
                online=name not in self.offline,
                seen_ns=int(self.now_s * 1e9),
                models={MODEL: self.report[name]},
                changed_ns={MODEL: int(self.changed_s[name] * 1e9)},
                target="pi",
            )
            for name in self.names
        )
        speaking = [name for name in self.names if name not in self.offline | self.blind]
        return FleetView(
            devices=devices,
            wave={n: self.behaviour for n in speaking if n in state.ordered and self.report[n].version == NEW},
            control={n: seen() for n in speaking if n not in state.ordered and self.report[n].version == OLD},
            baselines={OLD: Baseline(GOOD), NEW: Baseline(GOOD)},
        )

    def take(self, result: tuple[RolloutState, tuple[Order, ...]]) -> RolloutState:
        """Publish orders as the service would; the state goes through JSON on its way to the disk."""
        state, orders = result
        for order in orders:
            self.wanted[order.device] = order.version
        self.orders += orders
        again = msgspec.json.decode(msgspec.json.encode(state), type=RolloutState)
        assert again == state
        return again

    def step(self, state: RolloutState, *, passed_s: float = 1.0) -> RolloutState:
        self.now_s += passed_s
        return self.take(rollout.step(state, self.view(state), self.now_s))

    def run(self, state: RolloutState, *, steps: int = 400) -> RolloutState:
        """Let every device obey at once, and the rollout step once a second, until it rests."""
        for _ in range(steps):
            state = self.step(state)
            for name in self.names:
                self.obey(name)
            if state.state in FINAL or state.state == "PAUSED":
                break
        return state


def begun(fleet: Fleet, plan: Plan = PLAN, rollout_id: str = "r1") -> RolloutState:
    drafted = rollout.draft(rollout_id, MODEL, NEW, target="pi", plan=plan, now_s=fleet.now_s)
    return fleet.take(rollout.start(drafted, fleet.now_s))


def five() -> Fleet:
    return Fleet([f"d{i}" for i in range(5)])


def gate(state: RolloutState, name: str) -> Gate:
    return next(gate for gate in state.waves[-1].gates if gate.name == name)


# --- the way forward ---------------------------------------------------------------------------


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


# --- what stops it -----------------------------------------------------------------------------


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


# --- lack of evidence --------------------------------------------------------------------------


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


# --- what people do ----------------------------------------------------------------------------


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


# --- every path --------------------------------------------------------------------------------


class AnyRollout(RuleBasedStateMachine):
    """Devices obey, fail, vanish and mumble in any order, people press any button; the promises hold at each step."""

    @initialize(size=st.integers(1, 12), waves=st.sampled_from([(0.01, 0.1, 0.5, 1.0), (1.0,), (2.0, 0.5), (0.3, 1.0)]))
    def begin(self, size: int, waves: tuple[float, ...]) -> None:
        self.fleet = Fleet([f"d{i}" for i in range(size)])
        self.state = begun(self.fleet, Plan(waves=waves, soak_s=10, wave_timeout_s=60, rate_per_minute=5))
        self.was_stopped = False

    @rule(passed_s=st.sampled_from([1.0, 5.0, 20.0, 70.0]))
    def step(self, passed_s: float) -> None:
        before = self.state.state
        self.state = self.fleet.step(self.state, passed_s=passed_s)
        if before in FINAL:
            assert self.state.state == before
        if self.state.waves:
            self.was_stopped |= any(gate.verdict == "stop" for gate in self.state.waves[-1].gates)

    @rule(number=st.integers(0, 11), what=st.sampled_from(["obey", "obey", "obey", "fail", "leave", "return", "mute"]))
    def device(self, number: int, what: str) -> None:
        name = self.fleet.names[number % len(self.fleet.names)]
        self.fleet.now_s += 0.5
        if what == "leave":
            self.fleet.offline.add(name)
        elif what == "return":
            self.fleet.offline.discard(name)
            self.fleet.blind.discard(name)
        elif what == "mute":
            self.fleet.blind.add(name)
        else:
            getattr(self.fleet, what)(name)

    @rule()
    def everybody_obeys(self) -> None:
        for name in self.fleet.names:
            self.fleet.obey(name)

    @rule(bad=st.sampled_from([seen(), seen(), seen(BAD), seen(GOOD, SLOW)]))
    def the_new_version_behaves(self, bad: Observation) -> None:
        self.fleet.behaviour = bad

    @rule(button=st.sampled_from(["pause", "resume"]))
    def a_person_presses(self, button: str) -> None:
        press = getattr(rollout, button)
        self.state = self.fleet.take(press(self.state, self.fleet.now_s))
        assert press(self.state, self.fleet.now_s + 1) == (self.state, ())  # a second press changes nothing

    @precondition(lambda self: self.state.state not in FINAL)
    @rule()
    def abort_would_end(self) -> None:
        """On a copy, because an abort ends the story."""
        keep = self.fleet
        self.fleet = Fleet(
            list(keep.names), keep.now_s, report=dict(keep.report), wanted=dict(keep.wanted), offline=set(keep.offline)
        )
        self.fleet.report, self.fleet.changed_s = dict(keep.report), dict(keep.changed_s)
        state = self.fleet.take(rollout.abort(self.state, self.fleet.now_s))
        for _ in range(5):
            state = self.fleet.step(state, passed_s=30)
        assert state.state == "ABORTED"
        assert all(self.fleet.wanted[name] != NEW for name in self.state.ordered)
        self.fleet = keep

    @invariant()
    def never_more_devices_than_the_wave_allows(self) -> None:
        if self.state.waves:
            sizes = wave_sizes(self.state.plan, len(self.state.scope))
            allowed = sizes[self.state.waves[-1].number]
            assert len(self.state.ordered) <= allowed
            assert sum(1 for wanted in self.fleet.wanted.values() if wanted == NEW) <= allowed

    @invariant()
    def never_on_after_a_stop(self) -> None:
        if self.was_stopped:
            assert self.state.state in ("ROLLING_BACK", "ROLLED_BACK", "ABORTED")
        if self.state.state == "DONE":
            assert all(gate.verdict == "pass" for wave in self.state.waves for gate in wave.gates)

    @invariant()
    def back_means_back(self) -> None:
        if self.state.state in ("ROLLING_BACK", "ROLLED_BACK", "ABORTED"):
            assert all(self.fleet.wanted[name] == OLD for name in self.state.ordered)

    @invariant()
    def every_end_has_a_reason(self) -> None:
        if self.state.state in ("PAUSED", "ABORTED", "ROLLED_BACK", "ROLLING_BACK", "DONE"):
            assert self.state.reason
        assert (self.state.state in RUNNING) <= bool(self.state.waves)


AnyRollout.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_every_path = AnyRollout.TestCase


@given(size=st.integers(1, 3000), waves=st.lists(st.floats(0.001, 5000), min_size=1, max_size=6))
@settings(max_examples=200, deadline=None)
def test_wave_sizes_always_grow_and_fit_the_fleet(size: int, waves: list[float]) -> None:
    sizes = wave_sizes(Plan(waves=tuple(waves)), size)
    assert sizes
    assert all(1 <= a < b <= size for a, b in pairwise(sizes))
    assert 1 <= sizes[-1] <= size
