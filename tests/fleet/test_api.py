"""The API over its real socket: publishing, what it refuses, and what comes back as an error."""

import asyncio
import contextlib
import dataclasses
import datetime
import hashlib
import random
import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import pytest
import uvicorn

from edge.bundle import open_bundle
from edge.enrolment import Enrolment
from edge.errors import (
    BadArgumentError,
    BadBundleError,
    BadMessageError,
    BrokerError,
    FileMissingError,
    FleetError,
    TrustError,
)
from edge.messages import Desired
from edge.mqtt import MqttClient
from edge_agent.disk import RealDisk, sha256_of
from edge_agent.update.delta import apply_delta
from edge_agent.update.download import Download
from edge_agent.update.folder_remote import FolderRemote
from edge_agent.update.journal import BundleRecord, DeltaRecord
from edge_agent.update.trust import Trust
from fleet import artifacts
from fleet.answers import Problem
from fleet.api import ROUTES, make_api
from fleet.client import FleetClient
from fleet.control import SWEEP_S, Control, Urls
from fleet.control_process import listen
from fleet.control_store import ControlStore
from fleet.deltas import GRACE_S, NewDelta
from fleet.initialise import init_fleet
from fleet.plan import Plan
from fleet.ports import socket_address
from fleet.questions import Questions
from fleet.registry import Registry
from fleet.repository import DeltaCustom, SignedDelta, signed_deltas
from fleet.rollout_state import RolloutState
from fleet.served import find_served
from fleet.signing import NewBundle, Publisher
from fleet.views import DeviceView, FleetView, Order


@dataclass
class Silent:
    """Telemetry of a fleet that has not spoken, and a broker that accepts everything."""

    views: tuple[DeviceView, ...] = ()
    announced: list[tuple[str, Desired]] = field(default_factory=list)

    def devices(self) -> tuple[DeviceView, ...]:
        return self.views

    def view(self, state: RolloutState, now_s: float) -> FleetView:  # noqa: ARG002
        return FleetView(devices=self.views)

    def announce(self, device: str, desired: Desired) -> None:
        self.announced.append((device, desired))

    def confirm(self, enrolment: Enrolment) -> bool:  # noqa: ARG002
        return True


@dataclass
class Served:
    """A control with its API on its socket."""

    fleet: Any
    control: Control
    client: FleetClient
    raw: httpx.Client


@contextlib.contextmanager
def serving(fleet: Any) -> Iterator[Served]:
    store, silent = ControlStore(fleet.folder.control_db), Silent()
    nobody = Questions("acme", MqttClient("mqtt://127.0.0.1:9", client_id="nobody"))
    control = Control(
        fleet.folder, store=store, registry=Registry(store, fleet.folder.passwords, {}), observer=silent,
        announcer=silent, asker=nobody, urls=Urls(mqtt_url="mqtts://h:1", http_url="https://h:2"),
    )  # fmt: skip
    server = uvicorn.Server(uvicorn.Config(make_api(control), log_level="error", lifespan="off"))
    listener = listen(fleet.folder.socket)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    transport = httpx.HTTPTransport(uds=str(fleet.folder.socket))
    with (
        FleetClient.local(fleet.folder.root) as client,
        httpx.Client(transport=transport, base_url="http://fleet", timeout=30) as raw,
    ):
        yield Served(fleet, control, client, raw)
    server.should_exit = True
    thread.join(30)


@pytest.fixture
def served(fleet: Any) -> Iterator[Served]:
    """A service of this test's own."""
    with serving(fleet) as one:
        yield one


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One service for all tests that are to change nothing in it."""
    top = tmp_path_factory.mktemp("untouched")
    made = SimpleNamespace(folder=init_fleet(top / "dir", top / "keys"), keys=top / "keys")
    with serving(made) as one:
        yield one


def test_the_socket_is_for_its_owner_only(served: Served) -> None:
    assert served.fleet.folder.socket.stat().st_mode & 0o777 == 0o600


# --- publishing --------------------------------------------------------------------------------


def test_a_published_bundle_lies_under_its_signed_name_with_its_report(served: Served, make_bundle: Any) -> None:
    bundle = make_bundle(version=2)
    report = bundle.with_suffix(".report")
    (report / "sub").mkdir(parents=True)
    (report / "report.html").write_text("<p>good</p>")
    new = served.client.publish(bundle, served.fleet.keys, min_agent="0.1")
    place = served.fleet.folder.artifacts / "stop-go" / "stop-go-2.edge"
    assert place.read_bytes() == bundle.read_bytes()
    assert (served.fleet.folder.reports / "stop-go-2" / "report.html").read_text() == "<p>good</p>"
    (known,) = served.client.status().bundles
    assert (known.model, known.version, known.sha256, known.min_agent) == ("stop-go", 2, new.sha256, "0.1")
    assert known.report
    assert not known.revoked


def test_publishing_the_same_bytes_again_changes_nothing_and_other_bytes_are_refused(
    served: Served, make_bundle: Any
) -> None:
    served.client.publish(make_bundle(), served.fleet.keys)
    before = served.control.repository.targets.version
    served.client.publish(make_bundle(), served.fleet.keys)
    assert served.control.repository.targets.version == before
    with pytest.raises(FleetError, match="other bytes"):
        served.client.publish(make_bundle(model=b"other weights"), served.fleet.keys)
    assert served.control.repository.targets.version == before


@pytest.mark.parametrize("shared_keys", [True, False])
def test_simultaneous_publishes_all_succeed_in_order(served: Served, make_bundle: Any, shared_keys: bool) -> None:
    """With one keys folder they take turns at its lock; with copies of it they meet at the version check."""
    bundles = [make_bundle(name=name, version=version) for name in ("a", "b", "c") for version in (1, 2, 3)]
    failures: list[Exception] = []
    together = threading.Barrier(3)

    def publish(keys: Path, mine: list[Path]) -> None:
        try:
            with FleetClient.local(served.fleet.folder.root) as client:
                together.wait(30)
                for bundle in mine:
                    client.publish(bundle, keys)
        except Exception as exc:  # noqa: BLE001  # the main thread says it
            failures.append(exc)

    threads = []
    for number in range(3):
        keys = served.fleet.keys
        if not shared_keys:
            keys = Path(shutil.copytree(served.fleet.keys, served.fleet.keys.with_name(f"keys-{number}")))
        threads.append(threading.Thread(target=publish, args=(keys, bundles[number * 3 : number * 3 + 3])))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert len(served.client.status().bundles) == 9
    assert served.control.repository.targets.version == 1 + 9


def test_revoking_marks_every_lower_version(served: Served, make_bundle: Any) -> None:
    for version in (1, 2, 3):
        served.client.publish(make_bundle(version=version), served.fleet.keys)
    served.client.revoke("stop-go", 3, served.fleet.keys)
    assert {item.version: item.revoked for item in served.client.status().bundles} == {1: True, 2: True, 3: False}
    with pytest.raises(FleetError, match="revoked"):
        served.client.rollout_start("stop-go", 2)


def signed(served: Served, new: NewBundle) -> bytes:
    publisher = Publisher(served.fleet.keys)
    data = publisher.add(served.control.repository.targets_json, new, datetime.datetime.now(datetime.UTC))
    assert data is not None
    return data


# --- differences -------------------------------------------------------------------------------


def heavy(seed: int) -> bytes:
    """Weights of 30 kB, of which a seed decides 300 bytes."""
    return random.Random(0).randbytes(30_000) + random.Random(seed).randbytes(300)


def test_a_published_version_comes_with_the_shorter_ways_from_the_two_before_it(
    served: Served, make_bundle: Any
) -> None:
    pytest.importorskip("bsdiff4", reason="bsdiff4 is not installed: it comes with edgewright[fleet]")
    for version in (1, 2, 3, 4):
        bundle = make_bundle(version=version, model=heavy(version))
        new = served.client.publish(bundle, served.fleet.keys)
    assert [delta.from_version for delta in new.deltas] == [3, 2]
    deltas = signed_deltas(served.control.repository.targets)
    assert {path for path in deltas if "-4." in path} == {"stop-go/stop-go-3-4.delta", "stop-go/stop-go-2-4.delta"}
    for path, delta in deltas.items():
        assert (served.fleet.folder.artifacts / path).stat().st_size == delta.size_bytes < new.size_bytes / 2
        assert find_served(served.fleet.folder, f"artifacts/{path}")
    assert [item.version for item in served.client.status().bundles] == [1, 2, 3, 4]
    assert list(served.fleet.folder.incoming.iterdir()) == []
    served.client.revoke("stop-go", 2, served.fleet.keys)  # targets with differences can be signed on


def test_two_differences_of_the_same_bytes_are_both_in_place_after_one_upload(served: Served) -> None:
    """Versions that differ little have the same difference to a third: it was moved to the first name, then missed."""
    placed, data = artifacts.Artifacts(served.fleet.folder), b"the same way"
    sha256 = hashlib.sha256(data).hexdigest()

    async def chunks() -> AsyncIterator[bytes]:
        yield data

    asyncio.run(placed.receive_delta(sha256, chunks()))
    where: dict[str, Any] = {"from_sha256": "1" * 64, "to_sha256": "3" * 64}
    about: dict[str, Any] = {"model": "stop-go", "version": 3, "target": "x86-64", "min_agent": "0", "floor": 1}
    signed = [
        SignedDelta(f"stop-go/stop-go-{n}-3.delta", sha256, len(data), DeltaCustom(**about, **where, from_version=n))
        for n in (1, 2)
    ]
    placed.path(signed[0].path).parent.mkdir(parents=True)
    placed.place_deltas(signed)
    assert [placed.path(delta.path).read_bytes() for delta in signed] == [data, data]
    assert list(served.fleet.folder.incoming.iterdir()) == []


def test_a_device_makes_the_new_bundle_out_of_the_old_one_and_the_published_difference(
    served: Served, make_bundle: Any, tmp_path: Path
) -> None:
    pytest.importorskip("bsdiff4", reason="bsdiff4 is not installed: it comes with edgewright[fleet]")
    old, new = make_bundle(model=heavy(1)), make_bundle(version=2, model=heavy(2))
    first = served.client.publish(old, served.fleet.keys)
    served.client.publish(new, served.fleet.keys)
    disk, remote = RealDisk(), FolderRemote(served.fleet.folder.root)
    root_json = (served.fleet.folder.metadata / "1.root.json").read_text()
    trust = Trust(disk, tmp_path / "trust.json", root_json, remote)
    record = trust.find("stop-go", 2, target="x86-64", agent="0.1.0", have=[first.sha256])
    assert record.delta is not None
    assert record.delta.size_bytes < record.size_bytes / 10
    delta, part = tmp_path / "x.delta", tmp_path / "x.part"
    Download(disk, remote, record.delta, delta, block_bytes=3000).attempt()
    assert sha256_of(disk, delta) == record.delta.sha256
    apply_delta(disk, old, delta, part, size_bytes=record.size_bytes, step_bytes=1000)
    assert part.read_bytes() == new.read_bytes()


@dataclass
class Shed:
    """A device of python-tuf's client and the agent's own download, on version 1 and on its way to version 2."""

    trust: Trust
    remote: FolderRemote
    have: str
    """SHA-256 of the bundle that it runs."""
    record: BundleRecord

    def deltas(self, version: int) -> DeltaRecord | None:
        """The difference that signed metadata offer it now."""
        return self.trust.find("stop-go", version, target="x86-64", agent="0.1.0", have=[self.have]).delta


def on_its_way(served: Served, make_bundle: Any, folder: Path) -> Shed:
    first = served.client.publish(make_bundle(model=heavy(1)), served.fleet.keys)
    served.client.publish(make_bundle(version=2, model=heavy(2)), served.fleet.keys)
    remote = FolderRemote(served.fleet.folder.root)
    root_json = (served.fleet.folder.metadata / "1.root.json").read_text()
    trust = Trust(RealDisk(), folder / "trust.json", root_json, remote)
    record = trust.find("stop-go", 2, target="x86-64", agent="0.1.0", have=[first.sha256])
    return Shed(trust, remote, first.sha256, record)


def publish_more(served: Served, make_bundle: Any, *versions: int) -> None:
    for version in versions:
        served.client.publish(make_bundle(version=version, model=heavy(version)), served.fleet.keys)


def signed_paths(served: Served) -> set[str]:
    return set(signed_deltas(served.control.repository.targets))


def test_old_differences_are_signed_no_more_and_a_device_in_the_middle_of_one_still_gets_it(
    served: Served, make_bundle: Any, tmp_path: Path
) -> None:
    pytest.importorskip("bsdiff4", reason="bsdiff4 is not installed: it comes with edgewright[fleet]")
    device = on_its_way(served, make_bundle, tmp_path)
    assert device.record.delta is not None
    publish_more(served, make_bundle, 3, 4)
    assert "stop-go/stop-go-1-2.delta" in signed_paths(served)
    publish_more(served, make_bundle, 5, 6)
    assert signed_paths(served) == {f"stop-go/stop-go-{a}-{b}.delta" for b in (4, 5, 6) for a in (b - 2, b - 1)}
    assert device.deltas(2) is None, "whoever asks now is told of the whole bundle"

    file, part = served.fleet.folder.artifacts / device.record.delta.path, tmp_path / "x.delta"
    now_s = time.time()
    for later_s in (0.0, 1.0, GRACE_S - 2 * SWEEP_S):
        served.control.tick(now_s + later_s)
    Download(RealDisk(), device.remote, device.record.delta, part, block_bytes=3000).attempt()
    assert sha256_of(RealDisk(), part) == device.record.delta.sha256

    served.control.tick(now_s + GRACE_S + SWEEP_S)
    assert not file.exists()
    assert served.control.artifacts.deltas() == signed_paths(served)
    with pytest.raises(TrustError, match="NO_SUCH_VERSION"):  # what makes an agent fetch all of it: tests/agent/update
        Download(RealDisk(), device.remote, device.record.delta, tmp_path / "y.delta", block_bytes=3000).attempt()
    whole = device.trust.find("stop-go", 2, target="x86-64", agent="0.1.0", have=[device.have])
    Download(RealDisk(), device.remote, whole, tmp_path / "whole", block_bytes=3000).attempt()
    assert sha256_of(RealDisk(), tmp_path / "whole") == whole.sha256


def test_a_difference_that_a_rollout_or_an_order_still_leads_over_stays_signed(
    served: Served, make_bundle: Any, tmp_path: Path
) -> None:
    pytest.importorskip("bsdiff4", reason="bsdiff4 is not installed: it comes with edgewright[fleet]")
    device = on_its_way(served, make_bundle, tmp_path)
    served.client.enrol("car-1")
    rollout = served.client.rollout_start("stop-go", 2)
    publish_more(served, make_bundle, 3, 4, 5)
    assert device.deltas(2) == device.record.delta
    ended = served.client.rollout_abort(rollout.id)
    for version, more, left in ((2, 6, device.record.delta), (0, 7, None)):  # 0 withdraws the order
        served.control._store.save(ended, (Order("car-1", "stop-go", version),))
        publish_more(served, make_bundle, more)
        assert device.deltas(2) == left


def test_revoking_takes_the_differences_to_what_nobody_may_install_out_of_the_targets(
    served: Served, make_bundle: Any
) -> None:
    pytest.importorskip("bsdiff4", reason="bsdiff4 is not installed: it comes with edgewright[fleet]")
    publish_more(served, make_bundle, 1, 2, 3)
    served.client.revoke("stop-go", 3, served.fleet.keys)
    assert signed_paths(served) == {"stop-go/stop-go-1-3.delta", "stop-go/stop-go-2-3.delta"}


def test_after_a_restart_the_grace_goes_on_and_does_not_begin_again(fleet: Any, make_bundle: Any) -> None:
    pytest.importorskip("bsdiff4", reason="bsdiff4 is not installed: it comes with edgewright[fleet]")
    now_s, file = time.time(), fleet.folder.artifacts / "stop-go" / "stop-go-1-2.delta"
    with serving(fleet) as served:
        publish_more(served, make_bundle, 1, 2, 3, 4, 5)
        served.control.tick(now_s)
    with serving(fleet) as served:
        served.control.tick(now_s + GRACE_S - SWEEP_S)
        assert file.exists()
        served.control.tick(now_s + GRACE_S + SWEEP_S)
        assert not file.exists()


def test_no_difference_is_made_where_it_would_be_long_or_lead_to_another_target(
    served: Served, make_bundle: Any
) -> None:
    served.client.publish(make_bundle(model=random.Random(1).randbytes(30_000)), served.fleet.keys)
    other = served.client.publish(make_bundle(version=2, model=random.Random(2).randbytes(30_000)), served.fleet.keys)
    pi = served.client.publish(
        make_bundle(version=3, target="raspberrypi4", model=random.Random(2).randbytes(30_000)), served.fleet.keys
    )
    assert (other.deltas, pi.deltas) == ((), ())


def test_a_difference_is_not_made_from_a_bundle_that_is_not_what_was_signed(served: Served, make_bundle: Any) -> None:
    pytest.importorskip("bsdiff4", reason="bsdiff4 is not installed: it comes with edgewright[fleet]")
    served.client.publish(make_bundle(model=heavy(1)), served.fleet.keys)
    place = served.fleet.folder.artifacts / "stop-go" / "stop-go-1.edge"
    place.write_bytes(place.read_bytes()[:-1] + b"x")
    with pytest.raises(TrustError, match="not what was signed"):
        served.client.publish(make_bundle(version=2, model=heavy(2)), served.fleet.keys)


def test_a_difference_that_was_never_uploaded_or_is_replaced_is_refused(served: Served, make_bundle: Any) -> None:
    served.client.publish(make_bundle(), served.fleet.keys)
    new = served.client.publish(make_bundle(version=2), served.fleet.keys)
    third = dataclasses.replace(new, version=3, sha256="a" * 64, deltas=(NewDelta(1, "b" * 64, b"never sent"),))
    assert served.raw.post("/api/targets", content=signed(served, third)).status_code == 404
    assert served.raw.put(f"/api/deltas/{'a' * 64}", content=b"others").status_code == 400
    assert served.raw.put("/api/deltas/..", content=b"others").status_code == 404
    assert served.raw.get("/api/bundles/stop-go/9").status_code == 404


def test_targets_that_name_a_bundle_never_uploaded_are_refused(served: Served) -> None:
    data = signed(served, NewBundle("stop-go", 1, "x86-64", "a" * 64, 10, "0"))
    answer = served.raw.post("/api/targets", content=data)
    assert answer.status_code == 404
    assert served.client.status().bundles == ()


@pytest.mark.parametrize("change", [{"version": 2}, {"model": "other"}, {"target": "raspberrypi4"}, {"size_bytes": 9}])
def test_targets_that_do_not_fit_the_uploaded_bundle_are_refused(
    served: Served, make_bundle: Any, change: dict[str, Any]
) -> None:
    opened = open_bundle(make_bundle())
    served.raw.put(f"/api/bundles/{opened.sha256}", content=opened.path.read_bytes()).raise_for_status()
    said = {"model": "stop-go", "version": 1, "target": "x86-64", "size_bytes": opened.size_bytes, **change}
    data = signed(served, NewBundle(sha256=opened.sha256, min_agent="0", **said))
    answer = served.raw.post("/api/targets", content=data)
    assert answer.status_code == 400
    assert msgspec.json.decode(answer.content, type=Problem).error == "BadBundleError"
    assert served.client.status().bundles == ()


def test_an_upload_is_refused_when_it_is_not_what_it_says(
    served: Served, make_bundle: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_bundle().read_bytes()
    wrong = served.raw.put(f"/api/bundles/{'a' * 64}", content=data)
    torn = served.raw.put(f"/api/bundles/{hashlib.sha256(data[:-9]).hexdigest()}", content=data[:-9])
    monkeypatch.setattr(artifacts, "MAX_BUNDLE_BYTES", 100)
    large = served.raw.put(f"/api/bundles/{hashlib.sha256(data).hexdigest()}", content=data)
    errors = [msgspec.json.decode(answer.content, type=Problem).error for answer in (wrong, torn, large)]
    assert errors == ["BadMessageError", "BadBundleError", "BadMessageError"]
    assert list(served.fleet.folder.incoming.iterdir()) == []


# --- hostile input -----------------------------------------------------------------------------

PICTURE = f"{1:020d}-1.png"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/devices", b""),
        ("POST", "/api/devices", b"\xff\xfe"),
        ("POST", "/api/devices", b"[" * 200_000),
        ("POST", "/api/devices", b'{"device": "../../etc/passwd"}'),
        ("POST", "/api/devices", b'{"device": "car\\n"}'),
        ("POST", "/api/devices", b'{"device": "a:b"}'),
        ("POST", "/api/devices", b'{"device": ".control"}'),
        ("POST", "/api/devices", b'{"device": 1}'),
        ("POST", "/api/devices", b'{"device": "car", "admin": true}'),
        ("POST", "/api/devices/car/pictures", b'{"newest": 1}'),
        ("POST", "/api/devices/car/pictures", b'{"newest": 0}'),
        ("POST", "/api/devices/car/pictures", b'{"newest": 1e9}'),
        ("POST", "/api/devices/%23/pictures", b'{"newest": 1}'),
        ("POST", "/api/devices/+/pictures", b'{"newest": 1}'),
        ("POST", "/api/devices/a%2fb/pictures", b'{"newest": 1}'),
        ("POST", f"/api/devices/car/pictures/{PICTURE}", b'{"offset": 0, "size_bytes": 1}'),
        ("POST", f"/api/devices/car/pictures/{PICTURE}", b'{"offset": -1, "size_bytes": 1}'),
        ("POST", f"/api/devices/car/pictures/{PICTURE}", b'{"offset": 0, "size_bytes": 999999}'),
        ("POST", "/api/devices/car/pictures/..%2f..%2fx", b'{"offset": 0, "size_bytes": 1}'),
        ("POST", f"/api/devices/car/pictures/{PICTURE}%0a", b'{"offset": 0, "size_bytes": 1}'),
        ("POST", "/api/targets", b""),
        ("POST", "/api/targets", b"{}"),
        ("POST", "/api/targets", b"[" * 200_000),
        ("POST", "/api/targets", b"x" * 5_000_001),
        ("PUT", "/api/bundles/nonsense", b"x"),
        ("PUT", "/api/bundles/..%2f..%2fx", b"x"),
        ("PUT", f"/api/bundles/{'a' * 64}%0a", b"x"),
        ("PUT", "/api/reports/m/1/..%2f..%2fx", b"x"),
        ("PUT", "/api/reports/m/1/.hidden", b"x"),
        ("PUT", "/api/reports/../1/report.html", b"x"),
        ("PUT", "/api/reports/m.m/1/report.html", b"x"),
        ("PUT", "/api/reports/m/0/report.html", b"x"),
        ("PUT", "/api/reports/m/99999999999/report.html", b"x"),
        ("PUT", "/api/reports/m/-1/report.html", b"x"),
        ("POST", "/api/rollouts", b'{"model": "m", "version": 0}'),
        ("POST", "/api/rollouts", b'{"model": "m", "version": 1e400}'),
        ("POST", "/api/rollouts", b'{"model": "m", "version": 1, "plan": {"waves": []}}'),
        ("POST", "/api/rollouts", b'{"model": "m", "version": 1, "plan": {"soak_s": -1}}'),
        ("POST", "/api/rollouts", b'{"model": "m", "version": 1, "devices": ["#"]}'),
        ("GET", "/api/rollouts/r1", b""),
        ("GET", "/api/rollouts/r1%00", b""),
        ("POST", "/api/rollouts/r1/pause", b""),
        ("POST", "/api/rollouts/r1/explode", b""),
        ("DELETE", "/api/devices", b""),
        ("GET", "/api/nothing", b""),
        ("GET", "/", b""),
    ],
)
def test_hostile_requests_get_a_problem_and_change_nothing(
    untouched: Served, method: str, path: str, body: bytes
) -> None:
    answer = untouched.raw.request(method, path, content=body)
    assert 400 <= answer.status_code < 500
    problem = msgspec.json.decode(answer.content, type=Problem)
    assert problem.problem
    assert problem.remedy
    status = untouched.client.status()
    assert (status.devices, status.bundles, status.rollouts) == ((), (), ())
    assert [path.name for path in untouched.fleet.folder.root.parent.glob("x*")] == []
    assert not list(untouched.fleet.folder.reports.rglob("*"))


def test_a_report_has_no_more_files_than_allowed(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "MAX_REPORT_FILES", 2)
    codes = [served.raw.put(f"/api/reports/m/1/{n}.txt", content=b"x").status_code for n in range(3)]
    assert codes == [200, 200, 400]


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda client: client.enrol("a/b"), BadArgumentError),
        (lambda client: client.rollout("r9"), FileMissingError),
        (lambda client: client.rollout_start("m", 1), FleetError),
        (lambda client: client.publish(Path("missing.edge"), Path("keys")), FileMissingError),
    ],
)
def test_the_clients_error_is_the_one_the_service_raised(
    served: Served, call: Callable[[FleetClient], object], kind: type[Exception]
) -> None:
    with pytest.raises(kind) as caught:
        call(served.client)
    assert caught.value.remedy  # type: ignore[attr-defined]


def test_publishing_with_the_keys_of_another_fleet_is_refused(served: Served, make_bundle: Any, tmp_path: Path) -> None:
    init_fleet(tmp_path / "other", tmp_path / "other-keys")
    with pytest.raises(TrustError):
        served.client.publish(make_bundle(), tmp_path / "other-keys")
    with pytest.raises(FileMissingError, match="key"):
        served.client.publish(make_bundle(), tmp_path)


def test_a_file_that_is_no_bundle_is_not_even_sent(served: Served, tmp_path: Path) -> None:
    (tmp_path / "x.edge").write_bytes(b"not a zip")
    with pytest.raises(BadBundleError):
        served.client.publish(tmp_path / "x.edge", served.fleet.keys)


def test_without_a_service_the_client_says_how_to_start_one(fleet: Any) -> None:
    with FleetClient.local(fleet.folder.root) as client, pytest.raises(FleetError, match="no fleet service") as caught:
        client.status()
    assert "edge fleet serve" in caught.value.remedy


def test_a_very_long_folder_name_does_not_matter(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    listener = listen(folder / "admin.sock")
    listener.listen()
    assert len(socket_address(folder / "admin.sock")) < 100
    assert (folder / "admin.sock").is_socket()
    listener.close()


# --- rollouts ----------------------------------------------------------------------------------


def test_a_rollout_is_started_paused_resumed_and_aborted(served: Served, make_bundle: Any) -> None:
    served.client.publish(make_bundle(), served.fleet.keys)
    served.client.enrol("car-1")
    state = served.client.rollout_start("stop-go", 1, Plan(waves=(1.0,), soak_s=5), ["car-1"])
    assert (state.id, state.state, state.target, state.plan.soak_s) == ("r1", "APPROVED", "x86-64", 5)
    assert served.client.rollout_pause("r1").state == "PAUSED"
    assert served.client.rollout_resume("r1").state == "APPROVED"
    with pytest.raises(FleetError, match="r1"):
        served.client.rollout_start("stop-go", 1)
    assert served.client.rollout_abort("r1").state == "ABORTED"
    assert [known.id for known in served.client.rollouts()] == ["r1"]
    assert served.client.rollout_start("stop-go", 1).id == "r2"
    (first, second) = served.client.status().rollouts
    assert (first.state, second.state) == ("ABORTED", "APPROVED")


def test_a_rollout_to_a_device_that_is_not_enrolled_is_refused(served: Served, make_bundle: Any) -> None:
    served.client.publish(make_bundle(), served.fleet.keys)
    with pytest.raises(FleetError, match="not enrolled: car-9"):
        served.client.rollout_start("stop-go", 1, devices=["car-9"])


def test_an_enrolment_holds_all_a_device_needs(served: Served) -> None:
    enrolment = served.client.enrol("car-1")
    assert (enrolment.tenant, enrolment.device, enrolment.username) == ("acme", "car-1", "car-1")
    assert (enrolment.mqtt_url, enrolment.http_url) == ("mqtts://h:1", "https://h:2")
    assert enrolment.ca_pem == (served.fleet.keys / "ca.pem").read_text()
    assert enrolment.root_json == (served.fleet.keys / "root.json").read_text()
    (device,) = served.client.status().devices
    assert (device.id, device.online, device.models) == ("car-1", False, {})


def test_every_route_is_in_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "fleet.md").read_text()
    missing = [f"{method} {path}" for method, path, _ in ROUTES if f"{method} {path.replace(':int', '')}" not in page]
    assert missing == []


def test_what_control_learns_of_its_broker_reaches_whoever_asked_for_pictures(served: Served) -> None:
    served.client.enrol("car")
    with pytest.raises(BrokerError, match="no connection"):
        served.client.pictures("car", 1)
    with pytest.raises(BrokerError, match="no connection"):
        served.client.picture_piece("car", PICTURE, 0, 100)
    with pytest.raises(FleetError, match="not enrolled"):
        served.client.pictures("bus", 1)
    for device, newest in (("car", 0), ("car", 101), ("../car", 1)):
        with pytest.raises(BadArgumentError):
            served.client.pictures(device, newest)


def test_a_bad_message_is_told_as_one(served: Served) -> None:
    answer = served.raw.post("/api/rollouts", content=b"{")
    assert msgspec.json.decode(answer.content, type=Problem).error == BadMessageError.__name__
