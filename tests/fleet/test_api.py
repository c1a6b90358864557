"""The API of a running control, over its Unix socket."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from serving import Served

from edge.errors import (
    BadArgumentError,
    BadMessageError,
    BrokerError,
    FleetError,
)
from fleet.answers import Problem
from fleet.api import ROUTES
from fleet.plan import Plan

PICTURE = f"{1:020d}-1.png"


def test_the_socket_is_for_its_owner_only(served: Served) -> None:
    assert served.fleet.folder.socket.stat().st_mode & 0o777 == 0o600


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
