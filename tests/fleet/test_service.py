"""The whole service as its command starts it: ready, reached by devices and people, killed in parts, stopped."""

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect as websocket

from edge.enrolment import read_enrolment
from edge.messages import Desired, ModelReport, Presence, Reported, decode, encode
from edge.mqtt import MqttClient
from edge.topics import down, up
from fleet.broker import mosquitto_path
from fleet.client import FleetClient
from fleet.initialise import init_fleet

EDGE = [sys.executable, "-m", "edge.cli"]
PORTS = ["--http-port", "0", "--mqtt-port", "0", "--page-port", "0"]
WAIT_S = 90.0


def until(holds: Callable[[], bool], what: str = "it") -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline_s, f"waited in vain for {what}"
        time.sleep(0.05)


def edge(*words: object, **options: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*EDGE, *map(str, words)], capture_output=True, text=True, timeout=WAIT_S, check=False, **options
    )


def children_of(pid: int) -> dict[int, str]:
    """Command line by process id."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                if parent == pid:
                    found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
            except (OSError, IndexError):
                continue
    return found


@dataclass
class Running:
    """A service started by its command."""

    folder: Path
    keys: Path
    process: "subprocess.Popen[str]"
    urls: dict[str, str]

    @property
    def token(self) -> str:
        return (self.folder / "admin.token").read_text().strip()

    def child(self, name: str) -> int:
        """Process id of a child; 0 while there is none."""
        words = {"control": "fleet.control_process", "ingest": "fleet.ingest", "web": "fleet.web", "broker": "broker/"}
        return next((pid for pid, line in children_of(self.process.pid).items() if words[name] in line), 0)


def start(folder: Path, keys: Path, *more: str) -> Running:
    process = subprocess.Popen(
        [*EDGE, "fleet", "serve", str(folder), *PORTS, "--json", *more], stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    line = process.stdout.readline()
    assert '"page"' in line, f"the service ended with {process.wait()}: {line}"
    return Running(folder, keys, process, json.loads(line))


def end(running: Running) -> None:
    """SIGTERM, and nothing is left."""
    children = children_of(running.process.pid)
    running.process.terminate()
    assert running.process.wait(60) == 0
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), "the children to end")
    assert not (running.folder / "service.json").exists()
    assert not (running.folder / "admin.sock").exists()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    top = tmp_path_factory.mktemp("service")
    init_fleet(top / "dir", top / "keys", tenant="acme")
    running = start(top / "dir", top / "keys")
    yield running
    end(running)


@pytest.fixture
def client(service: Running) -> Iterator[FleetClient]:
    with FleetClient.local(service.folder) as one:
        yield one


def rss_mib(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


def https(service: Running, **options: Any) -> httpx.Client:
    context = ssl.create_default_context(cafile=str(service.keys / "ca.pem"))
    return httpx.Client(base_url=service.urls["http"], verify=context, timeout=30, **options)


def test_ready_means_that_every_part_is_a_process_and_answers(service: Running) -> None:
    assert set(service.urls) == {"page", "http", "mqtt", "broker", "directory"}
    assert service.urls["broker"] == ("mosquitto" if mosquitto_path() else "amqtt")
    assert all(service.child(name) for name in ("broker", "control", "ingest", "web"))
    answer = edge("fleet", "status", "--json", "--dir", service.folder)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["tenant"] == "acme"


def test_a_device_enrols_connects_and_gets_its_order(
    service: Running, client: FleetClient, make_bundle: Any, tmp_path: Path
) -> None:
    answer = edge("fleet", "enrol", "car-1", "-o", tmp_path / "car-1.enrol", "--json", "--dir", service.folder)
    assert answer.returncode == 0, answer.stderr
    enrolment = read_enrolment(tmp_path / "car-1.enrol")
    inbox: list[tuple[str, bytes]] = []

    def arrived() -> None:
        device.subscribe(down("acme", "car-1", "desired"))
        device.publish(
            up("acme", "car-1", "presence"), encode(Presence(online=True, boot_id="b", session=1)), retain=True
        )
        said = Reported(models={"stop-go": ModelReport(version=1, state="COMMITTED")}, target="x86-64", agent="0.1.0")
        device.publish(up("acme", "car-1", "reported"), encode(said), retain=True)

    device = MqttClient(
        enrolment.mqtt_url, client_id="car-1", username="car-1", password=enrolment.password, ca=enrolment.ca_pem,
        on_connect=arrived, on_message=lambda topic, payload: inbox.append((topic, payload)),
    )  # fmt: skip
    device.connect(wait_s=30)
    until(lambda: client.status().devices[0].models != {}, "the report")
    (shown,) = client.status().devices
    assert (shown.id, shown.online, shown.models["stop-go"].version) == ("car-1", True, 1)
    assert (
        edge("fleet", "publish", make_bundle(version=2), "--keys", service.keys, "--dir", service.folder).returncode
        == 0
    )
    plan = tmp_path / "plan.yaml"
    plan.write_text(yaml.safe_dump({"soak_s": 7, "waves": [1.0]}))
    began = edge(
        "fleet", "rollout", "start", "stop-go", 2, "--plan", plan, "--soak-s", 8, "--json", "--dir", service.folder
    )
    assert json.loads(began.stdout)["plan"]["soak_s"] == 8, began.stderr
    until(lambda: bool(inbox), "the order")
    assert inbox[0][0] == down("acme", "car-1", "desired")
    assert decode(Desired, inbox[0][1]).models["stop-go"].version == 2

    os.kill(service.child("broker"), signal.SIGKILL)
    inbox.clear()
    until(lambda: bool(inbox), "the order, again, from a new broker")
    assert decode(Desired, inbox[-1][1]).models["stop-go"].version == 2
    until(lambda: client.status().devices[0].online, "the device to be back")
    gone = edge("fleet", "rollout", "abort", "r1", "--json", "--dir", service.folder)
    assert json.loads(gone.stdout)["state"] in ("ROLLING_BACK", "ABORTED")
    device.close()


def test_connections_that_have_ended_are_not_kept(service: Running) -> None:
    """Of devices that vanish: each held 270 KiB until Python collected garbage in full, after a thousand of them."""
    address = urlsplit(service.urls["http"])
    trust = ssl.create_default_context(cafile=str(service.keys / "ca.pem"))

    def crowd() -> int:
        with ExitStack() as stack:
            for _ in range(300):
                plain = stack.enter_context(socket.create_connection((address.hostname, address.port)))
                device = stack.enter_context(trust.wrap_socket(plain, server_hostname=address.hostname))
                device.sendall(b"GET /metadata/timestamp.json HTTP/1.1\r\nHost: fleet\r\n\r\n")
                assert b" 401 " in device.recv(4096)
            found = rss_mib(service.child("web"))
        time.sleep(6)  # uvicorn's timer for an idle connection holds it until then, and that is all right
        return found

    first = crowd()
    assert max(crowd() for _ in range(3)) < first + 140  # those of the last seconds are; all would be 230


def test_a_device_reads_metadata_and_artifacts_and_nobody_else_does(
    service: Running, client: FleetClient, make_bundle: Any
) -> None:
    bundle = make_bundle(name="served", version=1)
    client.publish(bundle, service.keys)
    password = client.enrol("reader").password
    path = "/artifacts/served/served-1.edge"
    with https(service, auth=("reader", password)) as device:
        whole = device.get(path)
        assert whole.content == bundle.read_bytes()
        part = device.get(path, headers={"range": "bytes=10-19", "if-range": whole.headers["etag"]})
        assert (part.status_code, part.content) == (206, whole.content[10:20])
        changed = device.get(path, headers={"range": "bytes=10-19", "if-range": '"other"'})
        assert (changed.status_code, len(changed.content)) == (200, len(whole.content))
        assert device.get(path, headers={"range": f"bytes={10**9}-"}).status_code == 416
        names = {
            name: device.get(f"/metadata/{name}").status_code for name in ("timestamp.json", "1.root.json", "x.json")
        }
        assert names == {"timestamp.json": 200, "1.root.json": 200, "x.json": 404}
        for hostile in (
            "/artifacts/served/..%2f..%2fadmin.token",
            "/artifacts/../admin.token",
            "/metadata/..%2fadmin.token",
        ):
            assert device.get(hostile).status_code in (404, 405)
        assert device.get("/api/status").status_code == 401
    for auth in (None, ("reader", "guessed"), ("nobody", password), ("reader", "")):
        with https(service, auth=auth) as stranger:
            assert stranger.get(path).status_code == 401
            assert stranger.get("/metadata/timestamp.json").status_code == 401


def test_publishing_from_elsewhere_goes_over_https_with_the_token(service: Running, make_bundle: Any) -> None:
    where = ["--fleet", service.urls["http"], "--token", service.folder / "admin.token", "--keys", service.keys]
    done = edge("fleet", "publish", make_bundle(name="far"), *where, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model"] == "far"
    where[3] = "guessed"
    refused = edge("fleet", "publish", make_bundle(name="far", version=2), *where, "--json")
    assert refused.returncode == 17
    assert json.loads(refused.stdout)["error"] == "TrustError"


def test_two_processes_that_publish_at_once_both_succeed(
    service: Running, client: FleetClient, make_bundle: Any
) -> None:
    before = len(client.status().bundles)
    copies = [Path(shutil.copytree(service.keys, service.keys.with_name(f"copy-{n}"))) for n in range(2)]
    running = [
        subprocess.Popen([*EDGE, "fleet", "publish", str(make_bundle(name=f"twin-{n}")), "--keys", str(keys),
                          "--dir", str(service.folder)], stdout=subprocess.DEVNULL)
        for n, keys in enumerate(copies)
    ]  # fmt: skip
    assert [process.wait(WAIT_S) for process in running] == [0, 0]
    assert len(client.status().bundles) == before + 2


# --- people ------------------------------------------------------------------------------------


def test_on_loopback_the_page_is_open_and_writing_through_the_api_needs_the_token(service: Running) -> None:
    with httpx.Client(base_url=service.urls["page"], timeout=30) as browser:
        assert browser.get("/").status_code == 200
        assert browser.get("/api/status").status_code == 200
        wish = {"device": "by-page"}
        assert browser.post("/api/devices", json=wish).status_code == 401
        bearer = {"authorization": f"Bearer {service.token}"}
        assert browser.post("/api/devices", json=wish, headers={"authorization": "Bearer guessed"}).status_code == 401
        foreign = {**bearer, "origin": "https://evil.example"}
        assert browser.post("/api/devices", json=wish, headers=foreign).status_code == 403
        assert browser.post("/api/devices", json=wish, headers={**bearer, "origin": "null"}).status_code == 403
        assert (
            browser.post("/api/devices", json=wish, headers={**bearer, "origin": service.urls["page"]}).status_code
            == 200
        )
        assert browser.get("/api/status", headers={"host": "evil.example"}).status_code == 421
        assert (
            browser.get("/", headers={"host": f"evil.example:{service.urls['page'].rsplit(':', 1)[1]}"}).status_code
            == 421
        )


def test_pictures_need_the_token_on_loopback_too_and_no_other_site_may_ask_for_them(service: Running) -> None:
    bearer = {"authorization": f"Bearer {service.token}"}
    with httpx.Client(base_url=service.urls["page"], timeout=30) as browser:
        refused = browser.get("/pictures/nobody")
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Basic realm="fleet"')
        for site in ("cross-site", "same-site"):
            assert browser.get("/pictures/nobody", headers={**bearer, "sec-fetch-site": site}).status_code == 403
        answer = browser.get("/pictures/nobody", headers={**bearer, "sec-fetch-site": "same-origin"})
        assert (answer.status_code, "not enrolled: nobody" in answer.text) == (422, True)
        assert browser.get("/pictures/nobody", auth=("anybody", service.token)).status_code == 422


def test_a_page_of_another_site_gets_no_websocket(service: Running) -> None:
    address = service.urls["page"].replace("http:", "ws:") + "/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
    with pytest.raises(WebSocketException):
        websocket(address, origin="https://evil.example")  # type: ignore[arg-type]
    with websocket(address, origin=service.urls["page"]) as own:  # type: ignore[arg-type]
        assert str(own.recv(timeout=WAIT_S)).startswith("0")


def test_a_report_is_served_as_nobodys_page(service: Running, client: FleetClient, make_bundle: Any) -> None:
    bundle = make_bundle(name="reported")
    folder = bundle.with_suffix(".report")
    folder.mkdir()
    (folder / "report.html").write_text("<script>alert(1)</script>")
    client.publish(bundle, service.keys)
    answer = httpx.get(f"{service.urls['page']}/reports/reported-1/report.html", timeout=30)
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == "sandbox"
    assert httpx.get(f"{service.urls['page']}/reports/..%2f..%2fadmin.token", timeout=30).status_code == 404


# --- faults ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["control", "ingest", "web", "broker"])
def test_a_killed_child_comes_back_and_nothing_is_forgotten(service: Running, client: FleetClient, name: str) -> None:
    client.enrol(f"before-{name}")
    until(lambda: service.child(name) != 0, name)
    killed = service.child(name)
    os.kill(killed, signal.SIGKILL)
    until(lambda: service.child(name) not in (0, killed), f"a new {name}")

    def answers() -> bool:
        try:
            with https(service) as outside:
                outside.get("/metadata/timestamp.json")
            return f"before-{name}" in {device.id for device in client.status().devices}
        except (httpx.TransportError, RuntimeError):
            return False

    until(answers, "an answer")
    assert service.process.poll() is None
    assert client.enrol(f"after-{name}").device == f"after-{name}"


def test_a_second_service_on_the_same_folder_is_refused(service: Running) -> None:
    answer = edge("fleet", "serve", service.folder, *PORTS, "--json")
    assert answer.returncode == 18
    assert "served already" in json.loads(answer.stdout)["problem"]
    assert (service.folder / "service.json").exists()


@pytest.mark.parametrize("option", ["--http-port", "--mqtt-port", "--page-port"])
def test_a_taken_port_is_named_before_anything_starts(service: Running, tmp_path: Path, option: str) -> None:
    if option == "--mqtt-port" and shutil.which("ss") is None:
        pytest.skip("the remedy names ss, which is not installed")
    taken = service.urls["http"].rsplit(":", 1)[1]
    init_fleet(tmp_path / "dir", tmp_path / "keys")
    given = [*PORTS]
    given[given.index(option) + 1] = taken
    answer = edge("fleet", "serve", tmp_path / "dir", *given, "--json")
    assert answer.returncode == 15
    problem = json.loads(answer.stdout)
    assert taken in problem["problem"]
    assert "ss -ltnp" in problem["remedy"]
    assert option in problem["remedy"]
    assert not (tmp_path / "dir" / "service.json").exists()


def test_serving_refuses_to_start_while_a_private_key_lies_in_the_folder(tmp_path: Path) -> None:
    init_fleet(tmp_path / "dir", tmp_path / "keys")
    (tmp_path / "dir" / "stick").symlink_to(tmp_path / "keys")
    answer = edge("fleet", "serve", tmp_path / "dir", *PORTS, "--json")
    assert answer.returncode == 17
    assert "targets.pem" in json.loads(answer.stdout)["problem"]


def test_when_the_service_is_killed_its_children_end_and_it_starts_again_where_it_was(tmp_path: Path) -> None:
    init_fleet(tmp_path / "dir", tmp_path / "keys")
    running = start(tmp_path / "dir", tmp_path / "keys", "--broker", "amqtt")
    try:
        with FleetClient.local(tmp_path / "dir") as client:
            client.enrol("car-1")
    finally:
        children = children_of(running.process.pid)
        running.process.kill()
        running.process.wait()
    assert len(children) == 5
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), "the children to end")
    again = start(tmp_path / "dir", tmp_path / "keys")
    with FleetClient.local(tmp_path / "dir") as client:
        assert [device.id for device in client.status().devices] == ["car-1"]
    end(again)
