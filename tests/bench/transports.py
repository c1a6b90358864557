"""A 20 MB bundle from a real fleet to one device, over each way in turn: `python tests/bench/transports.py [FOLDER]`.

Real mosquitto with TLS and ACL, the chunks process's own server, uvicorn with TLS, the agent's own download with a
sync for each third of a block. Writes transports.md and .json into FOLDER (docs/benchmarks). Trust the ratios only.
"""

import contextlib
import hashlib
import json
import multiprocessing
import os
import platform
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import uvicorn

from edge.enrolment import Enrolment
from edge_agent.disk import RealDisk, sha256_of
from edge_agent.update.chunk_remote import ChunkRemote
from edge_agent.update.download import Download
from edge_agent.update.folder_remote import FolderRemote
from edge_agent.update.journal import BundleRecord
from edge_agent.update.remote import HttpRemote, Remote
from edge_agent.uplink.line import FleetLine
from fleet.broker import CHUNKS_USER, BrokerSettings, ServiceLogin, prepare, service_access
from fleet.chunks import RATE_BYTES_S, ChunkServer
from fleet.config import FleetFolder
from fleet.initialise import init_fleet
from fleet.passwords import hash_password, write_passwords
from fleet.ports import answers
from fleet.web import device_app

SIZE_BYTES, BLOCK_BYTES, RUNS = 20_000_000, 2 << 20, 7
PATH, TENANT = "light/light-1.edge", "main"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def broker(folder: FleetFolder, port: int) -> Iterator[None]:
    """The broker child of the service."""
    rules = BrokerSettings(
        tenant=TENANT, bind="127.0.0.1", port=port, certificate=str(folder.tls / "server.pem"),
        key=str(folder.tls / "server.key"), passwords=str(folder.passwords), service=service_access(1),
    )  # fmt: skip
    users = ("car-1", *(access.user for access in rules.service))
    write_passwords(folder.passwords, {user: hash_password("secret") for user in users})
    with subprocess.Popen(prepare("mosquitto", folder.broker, rules), stderr=subprocess.DEVNULL) as process:
        wait_for_port(port, folder)
        yield
        process.terminate()


def run_web(root: Path, port: int) -> None:
    """The device side of the web child, until it is killed."""
    folder = FleetFolder(root)
    tls = {"ssl_certfile": str(folder.tls / "server.pem"), "ssl_keyfile": str(folder.tls / "server.key")}
    uvicorn.run(device_app(folder), port=port, log_level="error", **tls)  # type: ignore[arg-type]


def run_chunks(root: Path, url: str, ca: str, rate_bytes_s: float) -> None:
    """The chunks child, until it is killed."""
    login = ServiceLogin(url=url, username=CHUNKS_USER, password="secret", ca=ca, tenant=TENANT)
    ChunkServer(login, FleetFolder(root), rate_bytes_s=rate_bytes_s).serve(threading.Event())


@contextlib.contextmanager
def child(run: Callable[..., None], *arguments: object) -> Iterator[None]:
    """A process of its own, as in the service."""
    process = multiprocessing.get_context("spawn").Process(target=run, args=arguments, daemon=True)
    process.start()
    yield
    process.terminate()
    process.join(10)


def wait_for_port(port: int, folder: FleetFolder) -> None:
    """Until somebody answers there."""
    until_s = time.monotonic() + 30
    while not answers("127.0.0.1", port, folder.tls / "ca.pem"):
        if time.monotonic() > until_s:
            raise TimeoutError(f"nobody answers on port {port}")
        time.sleep(0.05)


@contextlib.contextmanager
def ways(top: Path, rate_bytes_s: float) -> Iterator[dict[str, Remote]]:
    """The three ways of a device to one fleet."""
    folder = init_fleet(top / "dir", top / "keys", tenant=TENANT)
    (folder.artifacts / "light").mkdir()
    (folder.artifacts / PATH).write_bytes(random.Random(1).randbytes(SIZE_BYTES))
    http_port, mqtt_port = free_port(), free_port()
    ca = (folder.tls / "ca.pem").read_text()
    url = f"mqtts://127.0.0.1:{mqtt_port}"
    enrolment = Enrolment(
        tenant=TENANT, device="car-1", mqtt_url=url, http_url=f"https://127.0.0.1:{http_port}", username="car-1",
        password="secret", ca_pem=ca, root_json=(folder.metadata / "1.root.json").read_text(),
    )  # fmt: skip
    with (
        broker(folder, mqtt_port),
        child(run_web, folder.root, http_port),
        child(run_chunks, folder.root, url, ca, rate_bytes_s),
    ):
        wait_for_port(http_port, folder)
        line = FleetLine(enrolment, boot_id="bench", starts=1, wake=lambda: None)
        line.open()
        over_mqtt = ChunkRemote(line, ahead_bytes=BLOCK_BYTES // 3, timeout_s=20.0)
        line.on_chunk = over_mqtt.heard
        yield {"http": HttpRemote(enrolment, timeout_s=20.0), "mqtt": over_mqtt, "folder": FolderRemote(folder.root)}
        line.close()


def fetch_s(remote: Remote, record: BundleRecord, part: Path) -> float:
    """Seconds that one download takes."""
    part.unlink(missing_ok=True)
    began_s = time.perf_counter()
    Download(RealDisk(), remote, record, part, block_bytes=BLOCK_BYTES).attempt()
    took_s = time.perf_counter() - began_s
    if sha256_of(RealDisk(), part) != record.sha256:
        raise ValueError("other bytes came than were sent")
    return took_s


def measure(top: Path, rate_bytes_s: float) -> dict[str, float]:
    """Time of each way as a multiple of HTTP's; they take turns, so that a busy machine slows all alike."""
    with ways(top, rate_bytes_s) as remotes:
        time.sleep(2)
        sha256 = hashlib.sha256((top / "dir" / "artifacts" / PATH).read_bytes()).hexdigest()
        record = BundleRecord(version=1, sha256=sha256, size_bytes=SIZE_BYTES, path=PATH)
        turns = [
            {name: fetch_s(remote, record, top / "x.part") for name, remote in remotes.items()} for _ in range(RUNS + 1)
        ]
    return {name: median(turn[name] / turn["http"] for turn in turns[1:]) for name in turns[0]}  # the first warms up


def page(result: dict[str, object], ratios: dict[str, float]) -> str:
    """The page."""
    lines = [
        "# A 20 MB bundle over each way", "",
        "One device, one fleet, one machine (loopback), TLS on both networks, mosquitto; each third of a block of",
        "2 MiB is synced before the next. The ways took turns; medians of the ratio to HTTP in the same turn. Trust",
        "ratios of 2x or more. On a line slower than 32 MiB/s, MQTT is limited by the line, as HTTP is.", "",
        f"{result['machine']}", "", "| Way | Time, as a multiple of HTTP |", "| --- | --- |",
        *(f"| {name} | {ratio:.2f} |" for name, ratio in ratios.items()), "",
        "Made by `python tests/bench/transports.py docs/benchmarks`.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/benchmarks")
    ratios = {}
    for rate_bytes_s, what in ((float(RATE_BYTES_S), ""), (1e12, ", without the fleet's limit of 32 MiB/s")):
        with tempfile.TemporaryDirectory(prefix="edge-transports-") as top:
            found = measure(Path(top), rate_bytes_s)
        ratios |= {"mqtt" + what: found["mqtt"]} if what else found
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    result: dict[str, object] = {
        "machine": machine, "size_bytes": SIZE_BYTES, "block_bytes": BLOCK_BYTES, "runs": RUNS,
        "ratio_to_http": {name: round(ratio, 3) for name, ratio in ratios.items()},
    }  # fmt: skip
    (folder / "transports.json").write_text(json.dumps(result, indent=1) + "\n")
    (folder / "transports.md").write_text(page(result, ratios))
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
