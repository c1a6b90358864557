"""A fleet folder, small bundles, and both brokers, for the tests of this folder."""

import hashlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent))  # canaries.py, rollouts.py, serving.py

from serving import Served, serving

from edge.bundle import Baseline, Golden, pack
from edge.manifest import Manifest, Provenance, Quality, TensorInput, TensorSpec, Tolerance, Variant
from edge.mqtt import MqttClient
from edge.statistics import SCORE_EDGES
from fleet.broker import BrokerSettings, mosquitto_path, prepare, service_access
from fleet.config import FleetFolder
from fleet.initialise import init_fleet
from fleet.passwords import hash_password, write_passwords
from fleet.ports import answers, claim

MakeBundle = Callable[..., Path]
TENANT = "acme"
WAIT_S = 30.0


@dataclass(frozen=True)
class Fleet:
    """A new fleet's folder, and its keys beside it."""

    folder: FleetFolder
    keys: Path


@pytest.fixture(scope="session")
def fleet_template(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    """One fleet for tests that do not change it."""
    top = tmp_path_factory.mktemp("fleet")
    return Fleet(init_fleet(top / "dir", top / "keys", tenant=TENANT), top / "keys")


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """A fleet of this test's own."""
    return Fleet(init_fleet(tmp_path / "dir", tmp_path / "keys", tenant=TENANT), tmp_path / "keys")


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    """Write NAME-VERSION.edge: valid, though its model is only a few bytes that no runtime could load."""

    def make(name: str = "stop-go", version: int = 1, *, target: str = "x86-64", model: bytes = b"weights") -> Path:
        sha256 = hashlib.sha256(model).hexdigest()
        variant = Variant(
            runtime="onnxruntime", dtype="float32", file="model.onnx", sha256=sha256, size_bytes=len(model),
            input=TensorSpec(name="x", shape=(1, 2), dtype="float32"),
            outputs=(TensorSpec(name="y", shape=(1, 2), dtype="float32"),),
        )  # fmt: skip
        quality = Quality(
            metric="accuracy", reference=0.9, compiled=0.9, drop=0.0, ci95=(0.0, 0.0), agreement=1.0, samples=10
        )
        manifest = Manifest(
            name=name, version=version, target=target, labels=("red", "green"), input=TensorInput(shape=(2,)),
            variants=(variant,), quality=quality, golden=Tolerance(atol=1e-3, rtol=1e-3),
            provenance=Provenance(source_sha256="0" * 64, data_sha256="0" * 64, tools={}, recipe={}),
        )  # fmt: skip
        return pack(
            tmp_path / f"{name}-{version}.edge",
            manifest,
            files={"model.onnx": model},
            golden=Golden(np.zeros((1, 2), np.float32), np.zeros((1, 2), np.float32)),
            baseline=Baseline(
                np.ones(len(SCORE_EDGES) + 1, np.int64), np.ones(2, np.int64), np.zeros(2, np.float32),
                np.ones(2, np.float32),
            ),
        )  # fmt: skip

    return make


@dataclass
class RunningBroker:
    """A broker child, as the service starts it, with users car-1, car-2 and the service's own; password NAME-pw."""

    kind: str
    url: str
    ca: str
    settings: BrokerSettings
    process: "subprocess.Popen[bytes]"
    clients: list[MqttClient] = field(default_factory=list)

    def passwords(self, **users: str) -> None:
        """Replace the devices' passwords: user=password, with _ for -."""
        own = {access.user: f"{access.user}-pw" for access in self.settings.service}
        given = {name.replace("_", "-"): password for name, password in users.items()}
        hashes = {user: hash_password(password) for user, password in {**own, **given}.items()}
        write_passwords(Path(self.settings.passwords), hashes)


@pytest.fixture(scope="module", params=["mosquitto", "amqtt"])
def broker(
    request: pytest.FixtureRequest, fleet_template: Fleet, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningBroker]:
    """Both brokers, one after the other."""
    kind: str = request.param
    if kind == "mosquitto" and mosquitto_path() is None:
        pytest.skip("mosquitto is not installed: apt install mosquitto")
    folder = tmp_path_factory.mktemp(kind)
    port, tls = claim("127.0.0.1", 0, "--mqtt-port"), fleet_template.folder.tls
    settings = BrokerSettings(
        tenant=TENANT, bind="127.0.0.1", port=port, certificate=str(tls / "server.pem"), key=str(tls / "server.key"),
        passwords=str(folder / "passwords"), service=service_access(2),
    )  # fmt: skip
    running = RunningBroker(
        kind, f"mqtts://127.0.0.1:{port}", (tls / "ca.pem").read_text(), settings, process=None  # type: ignore[arg-type]
    )  # fmt: skip
    running.passwords(car_1="car-1-pw", car_2="car-2-pw")
    running.process = subprocess.Popen(prepare(kind, folder, settings))  # type: ignore[arg-type]
    until_s = time.monotonic() + WAIT_S
    while not answers("127.0.0.1", port, tls / "ca.pem"):
        assert running.process.poll() is None, "the broker ended"
        assert time.monotonic() < until_s, "the broker does not answer"
        time.sleep(0.05)
    yield running
    running.process.terminate()
    assert running.process.wait(20) is not None


@pytest.fixture
def served(fleet: Any) -> Iterator[Served]:
    """A service of this test's own."""
    with serving(fleet) as one:
        yield one
