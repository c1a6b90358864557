import hashlib
import http.server
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from edge.enrolment import Enrolment
from edge.errors import DiskFullError, TrustError
from edge_agent.disk import RealDisk, sha256_of
from edge_agent.power_cut import PowerCutDisk
from edge_agent.update.download import Download
from edge_agent.update.journal import BundleRecord
from edge_agent.update.refusal import code_of
from edge_agent.update.remote import HttpRemote

DATA = bytes(range(256)) * 4000
BLOCK_BYTES = 96 * 1024
PATH = "light/light-2.edge"
RECORD = BundleRecord(version=2, sha256=hashlib.sha256(DATA).hexdigest(), size_bytes=len(DATA), path=PATH)


def remote(shelf: Any, timeout_s: float = 5.0, password: str = "secret") -> HttpRemote:
    enrolment = Enrolment(
        tenant="home", device="car-1", mqtt_url="mqtt://127.0.0.1:1", http_url=shelf.url, username="car-1",
        password=password, ca_pem="", root_json="{}",
    )  # fmt: skip
    return HttpRemote(enrolment, timeout_s=timeout_s)


@pytest.fixture
def part(tmp_path: Path, http_shelf: Any) -> Path:
    http_shelf.files[f"artifacts/{PATH}"] = DATA
    return tmp_path / "x.part"


def start(shelf: Any, part: Path, **named: Any) -> Download:
    return Download(RealDisk(), remote(shelf, **named), RECORD, part, block_bytes=BLOCK_BYTES)


def hang_up_after(count: int) -> Any:
    """Trouble: promise the whole body, send `count` bytes of it, once."""
    times = [1]

    def trouble(handler: http.server.BaseHTTPRequestHandler, data: bytes) -> bool:
        if not times:
            return False
        times.pop()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[:count])
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_RDWR)
        return True

    return trouble


def failure(download: Download) -> str | None:
    with pytest.raises(TrustError) as caught:
        download.attempt()
    return code_of(caught.value.problem)


def test_a_bundle_arrives_whole(http_shelf: Any, part: Path) -> None:
    download = start(http_shelf, part)
    download.attempt()
    assert sha256_of(RealDisk(), part) == RECORD.sha256
    assert not download.resumed


def test_a_cut_line_is_taken_up_where_it_broke(http_shelf: Any, part: Path) -> None:
    http_shelf.trouble = hang_up_after(500_000)
    download = start(http_shelf, part)
    assert failure(download) == "NETWORK"
    download.attempt()
    first = int(http_shelf.asked[-1][1].removeprefix("bytes=").rstrip("-"))
    assert 500_000 - BLOCK_BYTES <= first <= 500_000
    assert sha256_of(RealDisk(), part) == RECORD.sha256


def test_a_new_process_fetches_at_most_one_block_again(http_shelf: Any, part: Path) -> None:
    http_shelf.trouble = hang_up_after(500_000)
    assert failure(start(http_shelf, part)) == "NETWORK"
    after_reboot = start(http_shelf, part)
    after_reboot.attempt()
    first = int(http_shelf.asked[-1][1].removeprefix("bytes=").rstrip("-"))
    assert 500_000 - BLOCK_BYTES <= first <= 500_000
    assert after_reboot.resumed
    assert sha256_of(RealDisk(), part) == RECORD.sha256


def test_starting_again_and_again_without_a_network_loses_nothing(http_shelf: Any, part: Path) -> None:
    http_shelf.trouble = hang_up_after(500_000)
    assert failure(start(http_shelf, part)) == "NETWORK"
    size = part.stat().st_size
    http_shelf.trouble = lambda handler, _data: handler.send_error(503) or True
    assert [failure(start(http_shelf, part)) for _ in range(5)] == ["NETWORK"] * 5
    assert part.stat().st_size == size


def test_a_server_that_ignores_ranges_is_read_from_the_start(http_shelf: Any, part: Path) -> None:
    part.write_bytes(b"x" * 200_000)
    http_shelf.trouble = hang_up_after(len(DATA))  # answers 200 with all of it
    start(http_shelf, part).attempt()
    assert sha256_of(RealDisk(), part) == RECORD.sha256


def test_a_file_that_changed_meanwhile_is_sent_whole_because_of_if_range(http_shelf: Any, part: Path) -> None:
    changed = bytes(len(DATA))
    http_shelf.trouble = hang_up_after(500_000)
    download = start(http_shelf, part)
    assert failure(download) == "NETWORK"
    http_shelf.files[f"artifacts/{PATH}"] = changed
    http_shelf.trouble = lambda _handler, _data: False
    download._etag = '"as it was"'
    download.attempt()
    assert part.read_bytes() == changed
    assert not download.resumed


@pytest.mark.parametrize(
    ("status", "code"), [(404, "NO_SUCH_VERSION"), (500, "NETWORK"), (416, "NETWORK"), (401, "NETWORK")]
)
def test_each_http_status_has_its_reason(http_shelf: Any, part: Path, status: int, code: str) -> None:
    http_shelf.trouble = lambda handler, _data: handler.send_error(status) or True
    assert failure(start(http_shelf, part)) == code


def test_a_file_longer_than_signed_is_not_stored_beyond_its_length(http_shelf: Any, part: Path) -> None:
    http_shelf.files[f"artifacts/{PATH}"] = DATA * 3
    assert failure(start(http_shelf, part)) == "HASH_MISMATCH"
    assert part.stat().st_size <= len(DATA)


def test_a_server_that_falls_silent_does_not_hang_the_device(http_shelf: Any, part: Path) -> None:
    http_shelf.trouble = lambda _handler, _data: time.sleep(3) or True
    assert failure(start(http_shelf, part, timeout_s=0.3)) == "NETWORK"


def test_a_wrong_credential_gets_nothing(http_shelf: Any, part: Path) -> None:
    assert failure(start(http_shelf, part, password="guessed")) == "NO_SUCH_VERSION"


def test_a_full_disk_is_said_so(http_shelf: Any, part: Path) -> None:
    disk = PowerCutDisk(Path("/"), capacity_bytes=300_000)
    download = Download(disk, remote(http_shelf), RECORD, Path("/x.part"), block_bytes=BLOCK_BYTES)
    with pytest.raises(DiskFullError):
        download.attempt()
