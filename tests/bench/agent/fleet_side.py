"""The other end of telemetry: a real mosquitto with TLS and ACL on 127.0.0.1, and a process that acknowledges."""

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge.enrolment import Enrolment, write_enrolment
from fleet.broker import BrokerSettings, ServiceLogin, ingest_user, prepare, service_access
from fleet.initialise import init_fleet
from fleet.passwords import hash_password, write_passwords
from fleet.ports import answers

HERE, TENANT, DEVICE = Path(__file__).parent, "main", "bench"


@dataclass(frozen=True)
class FleetSide:
    """What the agent needs, and what came in."""

    enrolment: Path
    counted: Path

    def messages(self) -> tuple[float, int]:
        """When it was last counted (seconds, CLOCK_MONOTONIC), and how many had come."""
        at_ns, seen = self.counted.read_text().split()
        return int(at_ns) / 1e9, int(seen)


@contextlib.contextmanager
def fleet_side(folder: Path) -> Iterator[FleetSide]:
    """Broker and acknowledger, until the end of the block."""
    fleet = init_fleet(folder / "fleet", folder / "keys", tenant=TENANT)
    port, access = _free_port(), service_access(1)
    rules = BrokerSettings(
        tenant=TENANT, bind="127.0.0.1", port=port, certificate=str(fleet.tls / "server.pem"),
        key=str(fleet.tls / "server.key"), passwords=str(fleet.passwords), service=access,
    )  # fmt: skip
    users = (DEVICE, *(one.user for one in access))
    write_passwords(fleet.passwords, {user: hash_password("secret") for user in users})
    ca, url = (fleet.tls / "ca.pem").read_text(), f"mqtts://127.0.0.1:{port}"
    found = FleetSide(folder / "bench.enrol", folder / "counted.txt")
    write_enrolment(
        found.enrolment,
        Enrolment(
            tenant=TENANT, device=DEVICE, mqtt_url=url, http_url="https://127.0.0.1:1", username=DEVICE,
            password="secret", ca_pem=ca, root_json=(fleet.metadata / "1.root.json").read_text(),
        ),
    )  # fmt: skip
    login = ServiceLogin(url=url, username=ingest_user(1), password="secret", ca=ca, tenant=TENANT)
    (folder / "login.json").write_bytes(msgspec.json.encode(login))
    found.counted.write_text("0 0\n")
    with _process(prepare("mosquitto", fleet.broker, rules)):
        _wait_for(port, fleet.tls / "ca.pem")
        with _process([sys.executable, str(HERE / "acknowledge.py"), str(folder / "login.json"), str(found.counted)]):
            yield found


@contextlib.contextmanager
def _process(command: list[str]) -> Iterator[None]:
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGKILL)


def _wait_for(port: int, ca: Path) -> None:
    until_s = time.monotonic() + 30
    while not answers("127.0.0.1", port, ca):
        if time.monotonic() > until_s:
            raise TimeoutError(f"nobody answers on port {port}")
        time.sleep(0.05)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
