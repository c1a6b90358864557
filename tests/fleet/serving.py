"""A control with its API on its socket, and telemetry of a fleet that has not spoken."""

import contextlib
import datetime
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn

from edge.enrolment import Enrolment
from edge.messages import Desired
from edge.mqtt import MqttClient
from fleet.api import make_api
from fleet.client import FleetClient
from fleet.control import Control, Urls
from fleet.control_process import listen
from fleet.control_store import ControlStore
from fleet.questions import Questions
from fleet.registry import Registry
from fleet.rollout_state import RolloutState
from fleet.signing import NewBundle, Publisher
from fleet.views import DeviceView, FleetView


@dataclass
class Silent:
    """Telemetry of a fleet that has not spoken, and a broker that accepts everything."""

    views: tuple[DeviceView, ...] = ()
    announced: list[tuple[str, Desired]] = field(default_factory=list)

    def devices(self) -> tuple[DeviceView, ...]:
        return self.views

    def view(self, state: RolloutState, now_s: float) -> FleetView:  # noqa: ARG002
        return FleetView(devices=self.views)

    def announce(self, device: str, desired: Desired) -> None:
        self.announced.append((device, desired))

    def confirm(self, enrolment: Enrolment) -> bool:  # noqa: ARG002
        return True


@dataclass
class Served:
    """A control with its API on its socket."""

    fleet: Any
    control: Control
    client: FleetClient
    raw: httpx.Client


@contextlib.contextmanager
def serving(fleet: Any) -> Iterator[Served]:
    store, silent = ControlStore(fleet.folder.control_db), Silent()
    nobody = Questions("acme", MqttClient("mqtt://127.0.0.1:9", client_id="nobody"))
    control = Control(
        fleet.folder, store=store, registry=Registry(store, fleet.folder.passwords, {}), observer=silent,
        announcer=silent, asker=nobody, urls=Urls(mqtt_url="mqtts://h:1", http_url="https://h:2"),
    )  # fmt: skip
    server = uvicorn.Server(uvicorn.Config(make_api(control), log_level="error", lifespan="off"))
    listener = listen(fleet.folder.socket)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    transport = httpx.HTTPTransport(uds=str(fleet.folder.socket))
    with (
        FleetClient.local(fleet.folder.root) as client,
        httpx.Client(transport=transport, base_url="http://fleet", timeout=30) as raw,
    ):
        yield Served(fleet, control, client, raw)
    server.should_exit = True
    thread.join(30)


def signed(served: Served, new: NewBundle) -> bytes:
    publisher = Publisher(served.fleet.keys)
    data = publisher.add(served.control.repository.targets_json, new, datetime.datetime.now(datetime.UTC))
    assert data is not None
    return data
