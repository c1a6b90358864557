"""Every path that a rollout may take: its promises hold at each step, whatever devices and people do."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from rollouts import BAD, GOOD, NEW, OLD, SLOW, Fleet, begun, seen

from fleet import rollout
from fleet.plan import Plan, wave_sizes
from fleet.rollout_state import FINAL, RUNNING
from fleet.views import Observation


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
