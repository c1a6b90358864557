"""A control that asks, and a device that has kept pictures, at one broker."""

import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.enrolment import Enrolment
from edge_agent.uplink.line import FleetLine
from edge_agent.uplink.pictures import Pictures
from fleet.broker import CONTROL_USER, ServiceLogin
from fleet.config import FleetFolder
from fleet.control import Control, Urls
from fleet.control_process import MqttAnnouncer
from fleet.control_store import ControlStore
from fleet.observer import StoreObserver
from fleet.questions import LIST_S, PIECE_S, Questions
from fleet.registry import Registry
from fleet.store import open_store

sys.path.append(str(Path(__file__).parent))  # relay.py

from relay import CAR, TENANT, WAIT_S, Relay


@pytest.fixture(scope="module")
def announcer(broker: Any) -> Iterator[MqttAnnouncer]:
    """Control's connection."""
    password = f"{CONTROL_USER}-pw"
    made = MqttAnnouncer(
        ServiceLogin(url=broker.url, username=CONTROL_USER, password=password, ca=broker.ca, tenant=TENANT)
    )
    made.start()
    assert made.connected.wait(WAIT_S)
    yield made
    made.close()


@pytest.fixture(scope="module")
def control(
    announcer: MqttAnnouncer, fleet_template: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Control]:
    """The real one; car-1 is enrolled."""
    folder = FleetFolder(tmp_path_factory.mktemp("control") / "dir")
    shutil.copytree(fleet_template.folder.root, folder.root)
    store = ControlStore(folder.control_db)
    registry = Registry(store, folder.passwords, {})
    registry.enrol(CAR)
    yield Control(
        folder, store=store, registry=registry, announcer=announcer, asker=announcer.questions,
        observer=StoreObserver(open_store(folder.telemetry_url), folder),
        urls=Urls(mqtt_url="mqtts://h:1", http_url="https://h:2"),
    )  # fmt: skip
    store.close()


@pytest.fixture
def patient(announcer: MqttAnnouncer) -> Iterator[Questions]:
    """Control's questions, for tests that change how long they wait."""
    yield announcer.questions
    announcer.questions.list_s, announcer.questions.piece_s = LIST_S, PIECE_S


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    (tmp_path / "kept").mkdir()
    return tmp_path / "kept"


@pytest.fixture
def relay(broker: Any) -> Iterator[Relay]:
    relay = Relay(int(broker.url.rsplit(":", 1)[1]))
    yield relay
    relay.close()


@pytest.fixture
def device(broker: Any, relay: Relay, kept: Path) -> Iterator[FleetLine]:
    """car-1 behind the relay, with leave to send."""
    enrolment = Enrolment(
        tenant=TENANT, device=CAR, mqtt_url=f"mqtts://127.0.0.1:{relay.port}", http_url="https://127.0.0.1:1",
        username=CAR, password=f"{CAR}-pw", ca_pem=broker.ca, root_json="{}",
    )  # fmt: skip
    ready = threading.Event()
    line = FleetLine(enrolment, boot_id="b", starts=1, wake=ready.set)
    line.on_command = Pictures(kept, line, "sent", tell=lambda _text: None).heard
    line.open()
    assert ready.wait(WAIT_S)
    yield line
    line.close()
