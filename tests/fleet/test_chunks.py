"""Files over MQTT, from the fleet's side: who waits, how fast, what is served; then both real brokers."""

import hashlib
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.chunks import WINDOW
from edge.enrolment import Enrolment
from edge.errors import TrustError
from edge.messages import ChunkRequest, encode
from edge.mqtt import MqttClient
from edge.pace import Pace
from edge.topics import down, up
from edge_agent.disk import RealDisk, sha256_of
from edge_agent.update.chunk_remote import ChunkRemote
from edge_agent.update.download import Download
from edge_agent.update.journal import BundleRecord
from edge_agent.update.trust import Trust
from edge_agent.uplink.line import FleetLine
from fleet.broker import CHUNKS_USER, ServiceLogin
from fleet.chunks import ChunkServer, Desk, read_chunk
from fleet.config import FleetFolder
from fleet.served import find_served
from fleet.web import device_app

TENANT, PATH = "acme", "stop-go/stop-go-1.edge"
DATA = bytes(range(256)) * 8000
BLOCK_BYTES = 1 << 20


def ask(path: str, offset: int = 0, size_bytes: int = 1000) -> ChunkRequest:
    return ChunkRequest(id=1, path=path, offset=offset, size_bytes=size_bytes)


@pytest.fixture(scope="module")
def folder(fleet_template: Any, tmp_path_factory: pytest.TempPathFactory) -> FleetFolder:
    """A fleet that has one artifact."""
    top = tmp_path_factory.mktemp("served") / "dir"
    shutil.copytree(fleet_template.folder.root, top)
    made = FleetFolder(top)
    (made.artifacts / "stop-go").mkdir()
    (made.artifacts / PATH).write_bytes(DATA)
    return made


def test_devices_take_turns_and_each_may_have_a_window_of_requests_waiting() -> None:
    desk = Desk()
    kept = [desk.put("greedy", ask("x", number)) for number in range(WINDOW + 2)]
    assert kept == [True] * WINDOW + [False] * 2
    desk.put("modest", ask("x"))
    turns = [desk.take(0) for _ in range(WINDOW + 1)]
    assert [turn[0] for turn in turns if turn] == ["greedy", "modest"] + ["greedy"] * (WINDOW - 1)
    assert [turn[1].offset for turn in turns if turn and turn[0] == "greedy"] == list(range(WINDOW))
    assert desk.take(0) is None


def test_no_second_carries_more_than_the_rate() -> None:
    pace = Pace(1000.0)
    now_s = 50.0
    for _ in range(20):
        now_s += pace.wait_s(100, now_s)
    assert now_s == pytest.approx(50.0 + 1.9)
    assert pace.wait_s(100, now_s + 60) == 0.0


@pytest.mark.parametrize(
    "path",
    [
        "", "fleet.json", "metadata", "metadata/", "metadata/../fleet.json", "metadata/1.root.json/",
        "online/snapshot.pem",
        "artifacts/../admin.token", "artifacts/stop-go/../stop-go/stop-go-1.edge", "/etc/passwd", "artifacts/stop-go",
        "metadata/timestamp.json\n", "artifacts/stop-go/stop-go-2.edge", "artifacts/stop-go/stop-go-1.edge\0",
    ],
)  # fmt: skip
def test_nothing_but_metadata_and_bundles_is_served(folder: FleetFolder, path: str) -> None:
    assert find_served(folder, path) is None
    assert read_chunk(folder, ask(path)).status == 404


def test_a_piece_says_where_it_lies_and_in_how_long_a_file(folder: FleetFolder) -> None:
    path = f"artifacts/{PATH}"
    first, last = read_chunk(folder, ask(path)), read_chunk(folder, ask(path, len(DATA) - 10))
    assert (first.status, first.data, first.total_bytes) == (206, DATA[:1000], len(DATA))
    assert (last.status, last.data, last.etag) == (206, DATA[-10:], first.etag)
    assert read_chunk(folder, ask(path, len(DATA) + 1)).status == 416
    (folder.artifacts / PATH).touch()
    assert read_chunk(folder, ask(path)).etag != first.etag


def test_a_file_has_the_same_etag_over_http(folder: FleetFolder) -> None:
    from starlette.testclient import TestClient

    from fleet.passwords import hash_password, write_passwords

    write_passwords(folder.passwords, {"car-1": hash_password("car-1-pw")})
    answer = TestClient(device_app(folder)).get(f"/artifacts/{PATH}", auth=("car-1", "car-1-pw"))
    assert answer.headers["etag"] == f'"{read_chunk(folder, ask(f"artifacts/{PATH}")).etag}"'


# --- both real brokers -------------------------------------------------------------------------------


@pytest.fixture
def server(broker: Any, folder: FleetFolder) -> Iterator[None]:
    """The chunks process's own work, in a thread."""
    login = ServiceLogin(
        url=broker.url, username=CHUNKS_USER, password=f"{CHUNKS_USER}-pw", ca=broker.ca, tenant=TENANT
    )
    stop = threading.Event()
    thread = threading.Thread(target=ChunkServer(login, folder).serve, args=(stop,))
    thread.start()
    yield
    stop.set()
    thread.join(30)
    assert not thread.is_alive()


@pytest.fixture
def device(broker: Any, folder: FleetFolder) -> Iterator[FleetLine]:
    """The line of car-1, connected."""
    enrolment = Enrolment(
        tenant=TENANT, device="car-1", mqtt_url=broker.url, http_url="https://127.0.0.1:1", username="car-1",
        password="car-1-pw", ca_pem=broker.ca, root_json=(folder.metadata / "1.root.json").read_text(),
    )  # fmt: skip
    ready = threading.Event()
    line = FleetLine(enrolment, boot_id="b", starts=1, wake=ready.set)
    line.open()
    assert ready.wait(30)
    yield line
    line.close()


def test_a_device_without_http_trusts_and_downloads_over_mqtt_what_the_fleet_serves(
    server: None, device: FleetLine, folder: FleetFolder, tmp_path: Path
) -> None:
    remote = ChunkRemote(device, ahead_bytes=BLOCK_BYTES // 3, timeout_s=20.0)
    device.on_chunk = remote.heard
    trust = Trust(RealDisk(), tmp_path / "trust.json", (folder.metadata / "1.root.json").read_text(), remote)
    with pytest.raises(TrustError, match="NO_SUCH_VERSION"):  # all metadata came and are in order; they name nothing
        trust.find("stop-go", 1, target="x86-64", agent="0.1.0")
    record = BundleRecord(version=1, sha256=hashlib.sha256(DATA).hexdigest(), size_bytes=len(DATA), path=PATH)
    Download(RealDisk(), remote, record, tmp_path / "x.part", block_bytes=BLOCK_BYTES).attempt()
    assert sha256_of(RealDisk(), tmp_path / "x.part") == record.sha256


def test_no_device_hears_or_answers_the_pieces_of_another(server: None, broker: Any, device: FleetLine) -> None:
    heard: list[bytes] = []
    device.on_chunk = heard.append
    arrived = threading.Event()
    mine: list[bytes] = []

    def hear(topic: str, payload: bytes) -> None:
        mine.append(payload)
        arrived.set()

    other = MqttClient(
        broker.url, client_id="car-2", username="car-2", password="car-2-pw", ca=broker.ca, on_message=hear,
        on_connect=lambda: other.subscribe(f"edge/v1/{TENANT}/d/+/down/#"),
    )  # fmt: skip
    other.connect(30)
    other.subscribe(down(TENANT, "car-2", "ota/chunk"))
    request = encode(ask(f"artifacts/{PATH}"))
    other.publish(down(TENANT, "car-1", "ota/chunk"), b"forged", qos=0)
    other.publish(up(TENANT, "car-1", "ota/req"), request, qos=0)
    other.publish(up(TENANT, "car-2", "ota/req"), request, qos=0)
    assert arrived.wait(20)
    other.close()
    assert len(mine) == 1
    assert heard == []
