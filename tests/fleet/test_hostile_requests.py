"""Whatever a request holds: it gets a problem, changes nothing, and a client says the same."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from serving import Served, serving

from edge.errors import (
    BadArgumentError,
    BadBundleError,
    FileMissingError,
    FleetError,
    TrustError,
)
from fleet import artifacts
from fleet.answers import Problem
from fleet.client import FleetClient
from fleet.control_process import listen
from fleet.initialise import init_fleet
from fleet.ports import socket_address

PICTURE = f"{1:020d}-1.png"


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One service for all tests that are to change nothing in it."""
    top = tmp_path_factory.mktemp("untouched")
    made = SimpleNamespace(folder=init_fleet(top / "dir", top / "keys"), keys=top / "keys")
    with serving(made) as one:
        yield one


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


def test_who_calls_before_the_service_is_up_waits_and_is_not_refused(tmp_path: Path) -> None:
    listener = listen(tmp_path / "admin.sock")
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(socket_address(tmp_path / "admin.sock"))
        caller.sendall(b"GET")
        served, _ = listener.accept()
        assert served.recv(16) == b"GET"
        served.close()
    listener.close()


def test_a_very_long_folder_name_does_not_matter(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    listener = listen(folder / "admin.sock")
    assert len(socket_address(folder / "admin.sock")) < 100
    assert (folder / "admin.sock").is_socket()
    listener.close()
