"""From `publish` to the decision of a device, and everything on the way that must be refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from paho.mqtt import publish

from edge.messages import Desired, Wish, encode
from edge.mqtt import parse_url
from edge.topics import down
from fleet.broker import ServiceLogin

MODEL, CAR = "colours", "car-1"
PLAN = {
    "waves": [1.0],
    "soak_s": 1.0,
    "wave_timeout_s": 120.0,
    "min_scores": 30,
    "min_decisions": 30,
    "max_score_drift": 5.0,
    "max_label_shift": 5.0,
    "max_latency_ratio": 100.0,
}
Make = Callable[..., Path]
Wait = Callable[..., None]


def roll_out(fleet: Any, version: int) -> None:
    plan = fleet.folder / "plan.yaml"
    plan.write_text(yaml.safe_dump(PLAN))
    fleet.edge("fleet", "rollout", "start", MODEL, str(version), "--plan", str(plan), "--dir", str(fleet.dir))


def committed(fleet: Any, version: int) -> bool:
    found = fleet.model(CAR)
    return bool(found["version"] == version and found["state"] == "COMMITTED")


def order_directly(fleet: Any, version: int, order: int) -> None:
    """What somebody who holds the broker, but no signing key, could do: wish for any version."""
    login = msgspec.json.decode((fleet.dir / "broker" / "control.login").read_bytes(), type=ServiceLogin)
    ca = fleet.folder / "ca.pem"
    ca.write_text(login.ca)
    address = parse_url(login.url)
    publish.single(
        down(login.tenant, CAR, "desired"),
        encode(Desired(models={MODEL: Wish(version=version, order=order)})),
        qos=1,
        retain=True,
        hostname=address.host,
        port=address.port,
        auth={"username": login.username, "password": login.password},
        tls={"ca_certs": str(ca)},
    )


def on_device(fleet: Any) -> str:
    path = fleet.state_dir(CAR) / "run" / "update.json"
    return str(path.read_text()) if path.exists() else "{}"


def reason_on_device(fleet: Any) -> str:
    return str(json.loads(on_device(fleet)).get("reason", ""))


@pytest.fixture
def running(fleet: Any, bundle_maker: Make, waiting: Wait) -> Any:
    """A fleet with one device that runs version 1."""
    fleet.publish(bundle_maker(1))
    fleet.start_agent(CAR)
    waiting(lambda: any(d["id"] == CAR and d["online"] for d in fleet.status()["devices"]), what="the device")
    roll_out(fleet, 1)
    waiting(lambda: committed(fleet, 1), what="version 1")
    return fleet


def test_a_published_version_is_switched_to_and_a_lower_one_may_be_ordered_again(
    running: Any, bundle_maker: Make, waiting: Wait
) -> None:
    running.publish(bundle_maker(2, gain=22.0))
    waiting(lambda: running.status()["rollouts"][-1]["state"] == "DONE", what="the first rollout")
    roll_out(running, 2)
    waiting(lambda: committed(running, 2), what="version 2")
    waiting(lambda: running.status()["rollouts"][-1]["state"] == "DONE", what="the second rollout")
    roll_out(running, 1)
    waiting(lambda: committed(running, 1), what="version 1 again")
    actions = [line.split()[3] for line in running.record(CAR).read_text().splitlines()]
    assert len(actions) > 100


def test_what_is_not_signed_or_not_for_this_device_is_refused_and_the_model_goes_on(
    running: Any, bundle_maker: Make, waiting: Wait
) -> None:
    waiting(lambda: running.status()["rollouts"][-1]["state"] == "DONE", what="the first rollout")
    before = {path.name: path.read_bytes() for path in (running.dir / "metadata").iterdir()}
    running.publish(bundle_maker(2))
    running.publish(bundle_maker(3))
    running.publish(bundle_maker(4, target="raspberrypi4"))

    order_directly(running, 99, order=1001)
    waiting(lambda: reason_on_device(running).startswith("NO_SUCH_VERSION"), what="99 to be refused")

    order_directly(running, 4, order=1002)
    waiting(lambda: reason_on_device(running).startswith("WRONG_TARGET"), what="a foreign target to be refused")

    artifact = running.dir / "artifacts" / MODEL / f"{MODEL}-3.edge"
    good = artifact.read_bytes()
    artifact.write_bytes(good[:-40] + bytes(40))
    order_directly(running, 3, order=1003)
    waiting(lambda: reason_on_device(running).startswith("HASH_MISMATCH"), what="a corrupted bundle to be refused")
    artifact.write_bytes(good)

    order_directly(running, 2, order=1004)
    waiting(lambda: committed(running, 2), what="version 2", seen=lambda: on_device(running))

    running.edge("fleet", "revoke", MODEL, "--below", "2", "--keys", str(running.keys), "--dir", str(running.dir))
    order_directly(running, 1, order=1005)
    waiting(lambda: reason_on_device(running).startswith("BELOW_FLOOR"), what="a revoked version to be refused")

    shutil.copytree(running.dir / "metadata", running.folder / "newest")
    for name, data in before.items():
        (running.dir / "metadata" / name).write_bytes(data)
    order_directly(running, 3, order=1006)
    waiting(lambda: reason_on_device(running).startswith("METADATA_OLDER"), what="replayed metadata to be refused")

    assert running.model(CAR)["version"] == 2
