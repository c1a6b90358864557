"""The control loop: what is ordered is durable first, and a service killed anywhere goes on where it was."""

import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from edge.enrolment import Enrolment
from edge.messages import Desired, ModelReport
from edge.mqtt import MqttClient
from edge.statistics import LATENCY_EDGES_US, SCORE_EDGES
from fleet.answers import RolloutRequest
from fleet.control import Control, Urls
from fleet.control_store import ControlStore
from fleet.plan import Plan
from fleet.questions import Questions
from fleet.registry import Registry
from fleet.rollout_state import RolloutState
from fleet.views import Baseline, DeviceView, FleetView, Observation

START_S = time.time()
CARS = ("car-1", "car-2", "car-3")
PLAN = Plan(waves=(0.34, 1.0), soak_s=0.0, wave_timeout_s=60.0, min_scores=0, min_decisions=0)


ALIKE = Observation(
    windows=100, span_ms=1e5, decisions=5000, labels={"red": 2500, "green": 2500},
    scores=(5000 // (len(SCORE_EDGES) + 1),) * (len(SCORE_EDGES) + 1),
    latency_us=(100,) * (len(LATENCY_EDGES_US) + 1),
)  # fmt: skip


class KilledError(BaseException):
    """The process ends here, as by kill -9: nothing after it runs."""


@dataclass
class Cars:
    """A broker with retained messages, and cars that obey them; `obey` moves them by one step."""

    retained: dict[str, Desired] = field(default_factory=dict)
    views: dict[str, DeviceView] = field(default_factory=dict)
    sent: list[tuple[str, Desired]] = field(default_factory=list)
    killed_at: int = 10**9

    def __post_init__(self) -> None:
        report = ModelReport(version=1, state="COMMITTED", attempted=1)
        self.views = {name: DeviceView(name, True, 1, {"stop-go": report}, {}, "x86-64") for name in CARS}

    def announce(self, device: str, desired: Desired) -> None:
        if len(self.sent) == self.killed_at:
            self.killed_at = 10**9
            raise KilledError
        self.sent.append((device, desired))
        self.retained[device] = desired

    def confirm(self, enrolment: Enrolment) -> bool:  # noqa: ARG002
        return True

    def obey(self, *, failing: bool = False) -> None:
        for device, desired in self.retained.items():
            wish = desired.models.get("stop-go")
            if wish is None:
                continue
            bad = failing and wish.version != 1
            report = ModelReport(
                version=1 if bad else wish.version, state="FAILED" if bad else "COMMITTED", attempted=wish.version
            )
            changed_ns = {"stop-go": int((START_S + 1000) * 1e9)}
            self.views[device] = replace(self.views[device], models={"stop-go": report}, changed_ns=changed_ns)

    def devices(self) -> tuple[DeviceView, ...]:
        return tuple(self.views.values())

    def view(self, state: RolloutState, now_s: float) -> FleetView:  # noqa: ARG002
        """Both versions decide alike, so that quality stops nothing here."""
        new, old = dict.fromkeys(state.ordered, ALIKE), dict.fromkeys(set(CARS) - state.ordered.keys(), ALIKE)
        baselines = {1: Baseline(ALIKE.scores), 2: Baseline(ALIKE.scores)}
        return FleetView(devices=self.devices(), wave=new, control=old, past=new, baselines=baselines)


Make = Callable[..., Control]


@pytest.fixture
def make(fleet: Any) -> Make:
    def start(cars: Cars) -> Control:
        store = ControlStore(fleet.folder.control_db)
        urls = Urls(mqtt_url="mqtts://h:1", http_url="https://h:2")
        registry = Registry(store, fleet.folder.passwords, {})
        nobody = Questions("acme", MqttClient("mqtt://127.0.0.1:9", client_id="nobody"))
        return Control(
            fleet.folder, store=store, registry=registry, observer=cars, announcer=cars, asker=nobody, urls=urls
        )

    return start


@pytest.fixture
def publish(fleet: Any, make_bundle: Any) -> Callable[[Control, int], None]:
    """Publish without a socket."""
    import asyncio
    from collections.abc import AsyncIterator

    from edge.bundle import open_bundle
    from fleet.signing import NewBundle, Publisher

    def run(control: Control, version: int) -> None:
        opened = open_bundle(make_bundle(version=version))

        async def whole() -> AsyncIterator[bytes]:
            yield opened.path.read_bytes()

        asyncio.run(control.artifacts.receive(opened.sha256, whole()))
        new = NewBundle("stop-go", version, "x86-64", opened.sha256, opened.size_bytes, "0")
        data = Publisher(fleet.keys).add(
            control.trust_state().targets.encode(), new, datetime.datetime.now(datetime.UTC)
        )
        assert data is not None
        control.publish(data, START_S)

    return run


def enrol_all(control: Control) -> None:
    for name in CARS:
        control.enrol(name)


def wanted(cars: Cars) -> dict[str, int]:
    return {device: desired.models["stop-go"].version for device, desired in cars.retained.items()}


def run_until(control: Control, cars: Cars, states: set[str], *, failing: bool = False) -> RolloutState:
    """Tick a second at a time; at most a minute of the rollout's own time."""
    for second in range(60):
        control.tick(START_S + 10 + second)
        cars.obey(failing=failing)
        state = control.rollout("r1")
        if state.state in states:
            return state
    pytest.fail(f"still {state.state}: {state.reason} {state.waves[-1].gates}")


def test_a_rollout_reaches_every_device_wave_by_wave(make: Make, publish: Callable[[Control, int], None]) -> None:
    cars = Cars()
    control = make(cars)
    enrol_all(control)
    publish(control, 2)
    control.start_rollout(RolloutRequest(model="stop-go", version=2, plan=PLAN), START_S)
    control.tick(START_S + 1)
    assert len(cars.retained) == 1
    assert run_until(control, cars, {"DONE"}).state == "DONE"
    assert wanted(cars) == dict.fromkeys(CARS, 2)
    numbers = [desired.models["stop-go"].order for _, desired in cars.sent]
    assert sorted(numbers) == [1, 2, 3]


def test_a_rollout_that_fails_orders_the_previous_version_under_a_new_number(
    make: Make, publish: Callable[[Control, int], None]
) -> None:
    cars = Cars()
    control = make(cars)
    enrol_all(control)
    publish(control, 2)
    control.start_rollout(RolloutRequest(model="stop-go", version=2, plan=PLAN), START_S)
    state = run_until(control, cars, {"ROLLED_BACK"}, failing=True)
    assert "fail" in state.reason
    (device,) = cars.retained
    assert [(name, desired.models["stop-go"].version) for name, desired in cars.sent] == [(device, 2), (device, 1)]
    assert cars.sent[-1][1].models["stop-go"].order > cars.sent[0][1].models["stop-go"].order


@pytest.mark.parametrize("failing", [False, True])
@pytest.mark.parametrize("killed_at", range(4))
def test_a_service_killed_before_it_published_an_order_publishes_it_after_its_start(
    make: Make, publish: Callable[[Control, int], None], killed_at: int, failing: bool
) -> None:
    cars = Cars(killed_at=killed_at)
    control = make(cars)
    enrol_all(control)
    publish(control, 2)
    control.start_rollout(RolloutRequest(model="stop-go", version=2, plan=PLAN), START_S)
    ending = "ROLLED_BACK" if failing else "DONE"
    restarts = 0
    while True:
        try:
            state = run_until(control, cars, {ending}, failing=failing)
            break
        except KilledError:
            restarts += 1
            control = make(cars)
            control.announce_all()
    assert state.state == ending
    assert restarts == (1 if killed_at < (2 if failing else 3) else 0)
    if failing:
        assert set(wanted(cars).values()) == {1}
    else:
        assert wanted(cars) == dict.fromkeys(CARS, 2)
    assert cars.retained == make(cars)._store.desired()


def test_a_service_killed_before_its_commit_decides_the_same_again(
    make: Make, publish: Callable[[Control, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    cars = Cars()
    control = make(cars)
    enrol_all(control)
    publish(control, 2)
    control.start_rollout(RolloutRequest(model="stop-go", version=2, plan=PLAN), START_S)

    def killed(self: ControlStore, order: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(ControlStore, "_wish", killed)
        with pytest.raises(KilledError):
            control.tick(START_S + 1)
    assert cars.sent == []
    control = make(cars)
    assert control.rollout("r1").state == "APPROVED"
    run_until(control, cars, {"DONE"})
    assert wanted(cars) == dict.fromkeys(CARS, 2)


def test_a_withdrawn_wish_reaches_a_device_that_had_no_version(
    make: Make, publish: Callable[[Control, int], None]
) -> None:
    cars = Cars()
    cars.views = {name: replace(view, models={}) for name, view in cars.views.items()}
    control = make(cars)
    enrol_all(control)
    publish(control, 2)
    control.start_rollout(RolloutRequest(model="stop-go", version=2, plan=PLAN), START_S)
    control.tick(START_S + 1)
    control.act("r1", "abort", START_S + 2)
    (device,) = cars.retained
    assert cars.retained[device].models == {}


def test_what_people_do_while_a_step_reads_telemetry_wins(
    make: Make, publish: Callable[[Control, int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    cars = Cars()
    control = make(cars)
    enrol_all(control)
    publish(control, 2)
    control.start_rollout(RolloutRequest(model="stop-go", version=2, plan=PLAN), START_S)

    def meanwhile(state: RolloutState, now_s: float) -> FleetView:
        if state.state == "APPROVED":
            control.act("r1", "pause", now_s)
        return FleetView(devices=cars.devices())

    monkeypatch.setattr(cars, "view", meanwhile)
    control.tick(START_S + 1)
    assert control.rollout("r1").state == "PAUSED"
    assert cars.sent == []


def test_the_online_signatures_are_renewed_at_the_start_and_every_hour(make: Make) -> None:
    control = make(Cars())

    def version() -> int:
        import json

        text = (control.repository.folder / "timestamp.json").read_text()
        return int(json.loads(text)["signed"]["version"])

    seen = [version()]
    for after_s in (0, 1, 3599, 3601, 3602, 7300):
        control.tick(START_S + after_s)
        seen.append(version())
    assert seen == [1, 2, 2, 2, 3, 3, 4]


def test_status_shows_what_is_wanted_beside_what_runs(make: Make, publish: Callable[[Control, int], None]) -> None:
    cars = Cars()
    control = make(cars)
    enrol_all(control)
    control.enrol("never-seen")
    publish(control, 2)
    control.start_rollout(RolloutRequest(model="stop-go", version=2, plan=PLAN), START_S)
    control.tick(START_S + 1)
    status = control.status(START_S + 2)
    assert [device.id for device in status.devices] == [*CARS, "never-seen"]
    (ordered,) = cars.retained
    for device in status.devices[:3]:
        model = device.models["stop-go"]
        assert (model.version, model.state, model.wanted) == (1, "COMMITTED", 2 if device.id == ordered else 0)
    assert not status.devices[3].online
    assert status.warnings == ()
    late = control.status(START_S + 320 * 86400)
    assert "expires" in late.warnings[0]
