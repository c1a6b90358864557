"""Updates on ways other than HTTP, with the real service and real agents."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from edge.enrolment import read_enrolment, write_enrolment

MODEL, CAR = "colours", "car-1"


def shut_http(enrol: Path) -> None:
    """Let the enrolment name a port that nobody listens on: only MQTT is left."""
    write_enrolment(enrol, msgspec.structs.replace(read_enrolment(enrol), http_url="https://127.0.0.1:9"))


def rows(fleet: Any) -> tuple[int, int]:
    """Rows of telemetry that the device has made, and those that the fleet has not acknowledged yet."""
    outbox = sqlite3.connect(fleet.state_dir(CAR) / "run" / "outbox.sqlite")
    made = outbox.execute("SELECT seq FROM sqlite_sequence").fetchone()[0]
    return made, outbox.execute("SELECT count(*) FROM rows").fetchone()[0]


def test_a_device_updates_over_mqtt_alone_while_its_telemetry_goes_on_and_then_from_a_stick(
    fleet: Any, bundle_maker: Callable[..., Path], waiting: Callable[..., None]
) -> None:
    fleet.publish(bundle_maker(1))
    enrol = fleet.folder / f"{CAR}.enrol"
    fleet.edge("fleet", "enrol", CAR, "-o", str(enrol), "--dir", str(fleet.dir))
    shut_http(enrol)
    fleet.start_agent(CAR)
    waiting(lambda: any(d["id"] == CAR and d["online"] for d in fleet.status()["devices"]), what="the device")
    fleet.edge("fleet", "rollout", "start", MODEL, "1", "--dir", str(fleet.dir))
    waiting(lambda: fleet.model(CAR)["state"] == "COMMITTED", what="version 1 over MQTT")
    waiting(lambda: (r := rows(fleet))[0] > 15 and r[1] < r[0] / 2, what="telemetry to be acknowledged")

    # then from a stick, with no fleet at all
    fleet.publish(bundle_maker(2, gain=22.0))
    stick, state_dir = fleet.folder / "stick", str(fleet.state_dir(CAR))
    fleet.edge("fleet", "export", str(stick), "--model", MODEL, "--dir", str(fleet.dir))
    fleet.service.terminate()
    fleet.service.wait(60)
    done = json.loads(fleet.edge("update", str(stick), state_dir, "--json").stdout)
    assert done == {"model": MODEL, "version": 2, "state": "COMMITTED"}
    refused = fleet.edge("update", str(stick), state_dir, "--version", "9", check=False)
    assert refused.returncode == 17
    assert "NO_SUCH_VERSION" in refused.stderr
