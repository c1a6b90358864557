"""The MQTT wrapper against a real mosquitto that asks who we are, over TLS."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.errors import BrokerError
from edge.mqtt import MqttClient

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
PASSWD = shutil.which("mosquitto_passwd")
pytestmark = pytest.mark.skipif(
    None in {MOSQUITTO, PASSWD, shutil.which("openssl")}, reason="mosquitto or openssl is not installed"
)


@dataclass(frozen=True)
class Broker:
    url: str
    ca: str


def openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A mosquitto with one user, whose certificate only our own CA vouches for."""
    folder = tmp_path_factory.mktemp("broker")
    key, cert = str(folder / "key.pem"), str(folder / "cert.pem")
    openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
        *("-keyout", key, "-out", cert, "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"),
    )
    subprocess.run(
        [str(PASSWD), "-b", "-c", str(folder / "passwords"), "dev", "right"], check=True, capture_output=True
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (folder / "mosquitto.conf").write_text(
        f"user root\nlistener {port} 127.0.0.1\nallow_anonymous false\n"
        f"password_file {folder / 'passwords'}\ncertfile {cert}\nkeyfile {key}\n"
    )
    process = subprocess.Popen([str(MOSQUITTO), "-c", str(folder / "mosquitto.conf")], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield Broker(f"mqtts://127.0.0.1:{port}", Path(cert).read_text())
    process.kill()
    process.wait()


@pytest.mark.parametrize("version", [4, 5])
def test_the_right_password_under_the_right_ca_gets_in(broker: Broker, version: int) -> None:
    client = MqttClient(broker.url, client_id="dev", username="dev", password="right", ca=broker.ca, version=version)
    client.connect(wait_s=30)
    assert client.connected
    client.close()


@pytest.mark.parametrize("version", [4, 5])
def test_a_refusal_says_why_and_does_not_wait_for_the_whole_time(broker: Broker, version: int) -> None:
    client = MqttClient(broker.url, client_id="dev", username="dev", password="wrong", ca=broker.ca, version=version)
    start = time.monotonic()
    with pytest.raises(BrokerError, match=r"not authori[sz]ed"):
        client.connect(wait_s=120)
    assert time.monotonic() - start < 60


def test_a_broker_that_our_ca_does_not_vouch_for_gets_no_password(broker: Broker) -> None:
    client = MqttClient(broker.url, client_id="dev", username="dev", password="right")
    with pytest.raises(BrokerError, match="TLS fails"):
        client.connect(wait_s=3)


def test_many_devices_do_not_come_back_at_the_same_moment() -> None:
    delays = {MqttClient("mqtt://127.0.0.1:1", client_id="c")._client._reconnect_min_delay for _ in range(20)}
    assert len(delays) == 20
