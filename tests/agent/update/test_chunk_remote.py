"""Files over MQTT, seen from the device: the window, what is lost, what is forged, and the way round a shut port."""

import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge.chunks import CHUNK_BYTES, WINDOW, Chunk, pack, unpack
from edge.errors import BadMessageError, TrustError
from edge.messages import ChunkRequest
from edge_agent.disk import RealDisk, sha256_of
from edge_agent.update.chunk_remote import FAST_S, SLOW_S, ChunkRemote, Window
from edge_agent.update.download import Download
from edge_agent.update.journal import BundleRecord
from edge_agent.update.refusal import code_of, refusal
from edge_agent.update.remote import Answer
from edge_agent.update.route import Route

DATA = bytes(range(256)) * 4000
PATH = "light/light-2.edge"
BLOCK_BYTES = 96 * 1024


class Line:
    """A fleet at the other end of a line. `answer` makes the payloads for a request; the usual one answers honestly."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files, self.connected = files, True
        self.asked: list[ChunkRequest] = []
        self.sent_bytes, self.most_under_way = 0, 0
        self.answer: Callable[[ChunkRequest], list[bytes]] = self.honestly
        self.hear: Callable[[bytes], None] = lambda _payload: None

    def ask(self, request: ChunkRequest) -> None:
        self.asked.append(request)
        for payload in self.answer(request):
            self.hear(payload)

    def honestly(self, request: ChunkRequest) -> list[bytes]:
        data = self.files.get(request.path)
        if data is None:
            return [pack(Chunk(request.id, 404, request.offset, 0, ""))]
        piece = data[request.offset : request.offset + request.size_bytes]
        self.sent_bytes += len(piece)
        status = 206 if request.offset <= len(data) else 416
        return [pack(Chunk(request.id, status, request.offset, len(data), f"{len(data)}", piece))]


@pytest.fixture
def line() -> Line:
    return Line({f"artifacts/{PATH}": DATA})


def remote(line: Line, *, timeout_s: float = 5.0) -> ChunkRemote:
    made = ChunkRemote(line, ahead_bytes=BLOCK_BYTES // 3, timeout_s=timeout_s)
    line.hear = made.heard
    return made


def download(line: Line, part: Path, data: bytes = DATA, **named: Any) -> Download:
    import hashlib

    record = BundleRecord(version=2, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data), path=PATH)
    return Download(RealDisk(), remote(line, **named), record, part, block_bytes=BLOCK_BYTES)


def failure(download: Download) -> str | None:
    with pytest.raises(TrustError) as caught:
        download.attempt()
    return code_of(caught.value.problem)


def test_a_piece_is_packed_and_unpacked_and_hostile_bytes_are_one_error() -> None:
    chunk = Chunk(7, 206, 2**40, 2**41, "0123456789abcdef", b"bytes")
    assert unpack(pack(chunk)) == chunk
    head = pack(Chunk(1, 206, 0, 0, "e"))
    for hostile in (b"", head[:-1], b"\x02" + head[1:], head + bytes(CHUNK_BYTES + 1), head[:24] + b"\xff" * 16):
        with pytest.raises(BadMessageError):
            unpack(hostile)


def test_a_bundle_arrives_whole_with_a_bounded_number_of_pieces_under_way(line: Line, tmp_path: Path) -> None:
    waiting: list[ChunkRequest] = []
    most = []

    def later(request: ChunkRequest) -> list[bytes]:
        waiting.append(request)
        most.append(len(waiting))
        threading.Timer(0.005, lambda: line.hear(line.honestly(waiting.pop(0))[0])).start()
        return []

    line.answer = later
    download(line, tmp_path / "x.part").attempt()
    assert sha256_of(RealDisk(), tmp_path / "x.part") == download(line, tmp_path / "x.part")._record.sha256
    assert max(most) == WINDOW
    assert line.sent_bytes == len(DATA)


def test_pieces_may_come_out_of_order_and_twice(line: Line, tmp_path: Path) -> None:
    held: list[bytes] = []

    def shuffled(request: ChunkRequest) -> list[bytes]:
        held.extend(line.honestly(request) * 2)
        if len(line.asked) % 2:
            held.reverse()
        out, held[:] = list(held), []
        return out

    line.answer = shuffled
    download(line, tmp_path / "x.part").attempt()
    assert (tmp_path / "x.part").read_bytes() == DATA


def test_a_piece_that_does_not_come_is_asked_for_again(line: Line, tmp_path: Path) -> None:
    line.answer = lambda request: [] if len(line.asked) in (3, 4) else line.honestly(request)
    download(line, tmp_path / "x.part", timeout_s=0.3).attempt()
    assert (tmp_path / "x.part").read_bytes() == DATA


def test_a_fleet_that_falls_silent_delays_the_update_and_nothing_is_fetched_twice_but_a_block(
    line: Line, tmp_path: Path
) -> None:
    line.answer = lambda request: line.honestly(request) if line.sent_bytes < 500_000 else []
    assert failure(download(line, tmp_path / "x.part", timeout_s=0.2)) == "NETWORK"
    before, line.sent_bytes = line.sent_bytes, 0
    line.answer = line.honestly
    download(line, tmp_path / "x.part").attempt()  # as a new process after a reboot
    assert (tmp_path / "x.part").read_bytes() == DATA
    assert before + line.sent_bytes - len(DATA) <= BLOCK_BYTES


def test_a_broker_that_is_away_is_said_at_once(line: Line, tmp_path: Path) -> None:
    line.connected, line.answer = False, lambda _request: []
    began_s = time.monotonic()
    assert failure(download(line, tmp_path / "x.part", timeout_s=60.0)) == "NETWORK"
    assert time.monotonic() - began_s < 15


def test_a_file_that_changes_under_the_download_is_begun_again(line: Line, tmp_path: Path) -> None:
    changed = bytes(len(DATA) - 1000)

    def change(request: ChunkRequest) -> list[bytes]:
        if line.sent_bytes > 300_000:
            line.files[f"artifacts/{PATH}"] = changed
        return line.honestly(request)

    line.answer = change
    going = download(line, tmp_path / "x.part", changed)
    assert failure(going) == "NETWORK"
    going.attempt()
    assert (tmp_path / "x.part").read_bytes() == changed
    assert not going.resumed


def forged(line: Line, **fields: Any) -> Callable[[ChunkRequest], list[bytes]]:
    """Every piece with some fields replaced."""
    import dataclasses

    return lambda request: [pack(dataclasses.replace(unpack(p), **fields)) for p in line.honestly(request)]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"status": 404, "data": b""}, "NO_SUCH_VERSION"),
        ({"status": 416, "data": b""}, "NETWORK"),
        ({"status": 500, "data": b""}, "NETWORK"),
        ({"id": 0}, "NETWORK"),
        ({"offset": 5}, "NETWORK"),
        ({"data": b"short"}, "NETWORK"),
        ({"total_bytes": 2**60}, "HASH_MISMATCH"),
    ],
)
def test_each_wrong_answer_has_its_reason(line: Line, tmp_path: Path, fields: dict[str, Any], code: str) -> None:
    line.answer = forged(line, **fields)
    if "total_bytes" in fields:
        line.files[f"artifacts/{PATH}"] = DATA * 2
    assert failure(download(line, tmp_path / "x.part", timeout_s=0.2)) == code
    assert not (tmp_path / "x.part").exists() or (tmp_path / "x.part").stat().st_size <= len(DATA)


def test_rubbish_on_the_topic_changes_nothing_and_is_not_kept(line: Line, tmp_path: Path) -> None:
    line.answer = lambda request: [b"", b"\xff" * 5000, pack(Chunk(99, 206, 0, 9, "e")), *line.honestly(request)]
    going = download(line, tmp_path / "x.part")
    for number in range(10_000):
        line.hear(pack(Chunk(number, 206, 0, 5, "e", b"flood")))
    assert going._remote._inbox.qsize() <= 2 * WINDOW  # type: ignore[attr-defined]
    going.attempt()
    assert (tmp_path / "x.part").read_bytes() == DATA


def test_a_slow_line_gets_one_small_piece_at_a_time_and_a_fast_one_the_whole_window() -> None:
    window = Window(100_000, 100_000)
    for _ in range(10):
        window.came_after(SLOW_S + 1)
    assert (window.size, window.piece_bytes) == (1, 8 << 10)
    for _ in range(10):
        window.came_after(FAST_S / 2)
    assert (window.size, window.piece_bytes) == (WINDOW, 100_000)
    window.lost()
    assert (window.size, window.piece_bytes) == (1, 50_000)


# --- which way --------------------------------------------------------------------------------------


class Way:
    """A `Remote` that may be shut (raises when it is opened) or break after a piece."""

    def __init__(self, name: str) -> None:
        self.name, self.shut, self.breaks, self.status, self.asked = name, False, False, 200, 0

    @contextmanager
    def get(self, path: str, *, start: int = 0, etag: str = "") -> Any:  # noqa: ARG002
        self.asked += 1
        if self.shut:
            raise refusal("NETWORK", "shut")
        yield Answer(self.status, 0, "", self._pieces())

    def _pieces(self) -> Any:
        yield self.name.encode()
        if self.breaks:
            raise refusal("NETWORK", "broke")


class Ways:
    def __init__(self) -> None:
        self.http, self.mqtt = Way("http"), Way("mqtt")
        self.connected, self.now_s = True, 0.0
        self.route = Route(self.http, self.mqtt, lambda: self.connected, now_s=lambda: self.now_s)

    def fetch(self) -> str:
        with self.route.get("x") as answer:
            return b"".join(answer.pieces).decode()


@pytest.fixture
def ways() -> Ways:
    return Ways()


def test_http_is_the_way_while_it_is_open(ways: Ways) -> None:
    assert [ways.fetch(), ways.fetch()] == ["http", "http"]
    assert ways.mqtt.asked == 0


def test_mqtt_is_the_way_while_http_is_shut_and_http_is_tried_again_later(ways: Ways) -> None:
    ways.http.shut = True
    assert [ways.fetch() for _ in range(5)] == ["mqtt"] * 5
    assert ways.http.asked == 1
    ways.http.shut, ways.now_s = False, 301.0
    assert ways.fetch() == "http"


def test_http_that_breaks_off_in_the_middle_or_fails_inside_gives_way_too(ways: Ways) -> None:
    ways.http.breaks = True
    with pytest.raises(TrustError):
        ways.fetch()
    assert ways.fetch() == "mqtt"
    ways.http.breaks, ways.http.status, ways.now_s = False, 503, 301.0
    assert ways.fetch() == "mqtt"


def test_without_a_broker_http_is_the_only_way(ways: Ways) -> None:
    ways.http.shut, ways.connected = True, False
    for _ in range(2):
        with pytest.raises(TrustError):
            ways.fetch()
    assert (ways.http.asked, ways.mqtt.asked) == (2, 0)


def test_when_both_are_shut_each_gets_its_turn(ways: Ways) -> None:
    ways.http.shut = ways.mqtt.shut = True
    for _ in range(3):
        with pytest.raises(TrustError):
            ways.fetch()
    assert (ways.http.asked, ways.mqtt.asked) == (3, 3)
