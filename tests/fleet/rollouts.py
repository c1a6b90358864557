"""A fleet that is only figures, and a rollout through it."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from edge.messages import ModelReport
from edge.statistics import LATENCY_EDGES_US, SCORE_EDGES
from fleet import rollout
from fleet.plan import Plan
from fleet.rollout_state import FINAL, Gate, RolloutState
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
