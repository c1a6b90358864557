"""A broker, a fleet and a supervisor that end with their test."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.enrolment import Enrolment, write_enrolment

sys.path.append(str(Path(__file__).parent))  # uplink_fleet.py, uplink_supervisor.py

from uplink_fleet import Broker, Fleet
from uplink_supervisor import Supervisor


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    yield broker
    broker.kill()


@pytest.fixture
def fleet(broker: Broker) -> Iterator[Fleet]:
    fleet = Fleet(f"mqtt://127.0.0.1:{broker.port}")
    yield fleet
    fleet.client.close()


@pytest.fixture
def enrol(tmp_path: Path, broker: Broker, repository: Any, http_shelf: Any) -> str:
    enrolment = Enrolment(
        tenant="home", device="car-1", mqtt_url=f"mqtt://127.0.0.1:{broker.port}", http_url=http_shelf.url,
        username="car-1", password="secret", ca_pem="", root_json=repository.root_json,
    )  # fmt: skip
    write_enrolment(tmp_path / "car-1.enrol", enrolment)
    return str(tmp_path / "car-1.enrol")


@pytest.fixture
def supervisor(tmp_path: Path, fleet: Fleet, enrol: str) -> Iterator[Supervisor]:
    supervisor = Supervisor(tmp_path, enrol=enrol, probation_s=1.0, quiet_s=8.0, window_s=0.3, block_kib=16)
    yield supervisor
    if supervisor.running:
        supervisor.kill()


@pytest.fixture
def published(repository: Any, make_bundle: Callable[..., bytes]) -> Any:
    for version in (1, 2):
        repository.publish("light", version, make_bundle(version=version))
    return repository
