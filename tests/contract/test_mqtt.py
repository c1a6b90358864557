"""The MQTT wrapper against a real mosquitto."""

import queue
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.errors import BadArgumentError, BrokerError
from edge.mqtt import MqttClient, Will, parse_url

MOSQUITTO = shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto")
needs_broker = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], bool], timeout_s: float = 30.0) -> bool:
    limit = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < limit:
        time.sleep(0.02)
    return condition()


class Broker:
    """A mosquitto of our own, which can be killed and started again on the same port."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.config = folder / "mosquitto.conf"
        self.config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen([str(MOSQUITTO), "-c", str(self.config)], stderr=subprocess.DEVNULL)
        assert wait_for(self._listens)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    running = Broker(tmp_path)
    yield running
    running.kill()


def listener(broker: Broker, topic: str) -> tuple[MqttClient, "queue.Queue[tuple[str, bytes]]"]:
    heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
    client = MqttClient(
        broker.url,
        client_id="listener",
        on_connect=lambda: client.subscribe(topic),
        on_message=lambda name, payload: heard.put((name, payload)),
    )
    client.connect(wait_s=30)
    return client, heard


@needs_broker
def test_a_message_arrives(broker: Broker) -> None:
    client, heard = listener(broker, "a/#")
    client.publish("a/b", b"hello")
    assert heard.get(timeout=30) == ("a/b", b"hello")
    client.close()


@needs_broker
def test_the_will_is_said_after_a_hang_up_and_not_after_a_goodbye(broker: Broker) -> None:
    client, heard = listener(broker, "will/#")
    for silent in (True, False):
        other = MqttClient(broker.url, client_id=f"other-{silent}", will=Will(f"will/{silent}", b"gone", retain=False))
        other.connect(wait_s=30)
        other.close(silent=silent)
    assert heard.get(timeout=30) == ("will/False", b"gone")
    client.close()


@needs_broker
def test_a_killed_broker_is_found_again_and_what_was_queued_arrives(broker: Broker) -> None:
    client, heard = listener(broker, "a/#")
    broker.kill()
    assert wait_for(lambda: not client.connected)
    client.publish("a/later", b"queued")
    broker.start()
    assert heard.get(timeout=60) == ("a/later", b"queued")
    client.close()


@needs_broker
def test_an_error_in_a_callback_does_not_end_the_client(broker: Broker) -> None:
    heard: list[bytes] = []

    def fail_once(_topic: str, payload: bytes) -> None:
        heard.append(payload)
        if payload == b"1":
            raise RuntimeError("a bug")

    client = MqttClient(
        broker.url, client_id="c", on_connect=lambda: client.subscribe("a"), on_message=fail_once, version=5
    )
    client.connect(wait_s=30)
    client.publish("a", b"1")
    client.publish("a", b"2")
    assert wait_for(lambda: heard == [b"1", b"2"])
    client.close()


def test_a_message_that_the_socket_had_not_taken_when_the_line_was_cut_is_told_as_lost() -> None:
    accepted = bytes.fromhex("20020000")  # CONNACK, MQTT 3.1.1, 3.2
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = MqttClient(f"mqtt://127.0.0.1:{listener.getsockname()[1]}", client_id="x")
        client.connect()
        stuck, _ = listener.accept()
        stuck.recv(100)
        stuck.sendall(accepted)
        assert wait_for(lambda: client.connected)
        taken: queue.Queue[bool] = queue.Queue()
        sender = threading.Thread(target=lambda: taken.put(client.send("a", bytes(64 << 20), wait_s=30)))
        sender.start()  # more than any buffer holds, to a broker that has stopped to read
        stuck.recv(1)
        stuck.close()
        assert taken.get(timeout=30) is False
        client.close()


def test_a_broker_that_is_not_there_is_one_clear_error() -> None:
    client = MqttClient(f"mqtt://127.0.0.1:{free_port()}", client_id="c")
    with pytest.raises(BrokerError, match="no connection to the broker"):
        client.connect(wait_s=2)


@pytest.mark.parametrize("url", ["http://x", "mqtts://", "mqtt://h:99999", "nonsense"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(BadArgumentError):
        parse_url(url)
