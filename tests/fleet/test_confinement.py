"""Every device in its own subtree, on mosquitto and on amqtt, by forging what can be forged."""

import queue
import signal
import ssl
import time
from collections.abc import Callable, Iterator

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from edge.topics import down, up
from fleet.broker import CHUNKS_USER, CONTROL_USER, ingest_user
from fleet.confinement import covers

TENANT = "acme"
WAIT_S = 30.0
Connect = Callable[..., "Peer"]


class Peer:
    """One MQTT client that may lie about anything."""

    def __init__(self, broker: object, user: str | None, *, password: str | None = None, client_id: str | None = None,
                 clean: bool = True, will: tuple[str, bytes] | None = None) -> None:  # fmt: skip
        self.inbox: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.answer: str | None = None
        self.lost = 0
        self._subscribed: queue.Queue[object] = queue.Queue()
        self.client = Client(
            CallbackAPIVersion.VERSION2, client_id=(user or "") if client_id is None else client_id, clean_session=clean
        )
        if user is not None:
            self.client.username_pw_set(user, f"{user}-pw" if password is None else password)
        if will is not None:
            self.client.will_set(*will, qos=1, retain=True)
        self.client.tls_set_context(ssl.create_default_context(cadata=broker.ca))  # type: ignore[attr-defined]
        self.client.on_connect = self._connected
        self.client.on_message = self._received
        self.client.on_subscribe = lambda *_: self._subscribed.put(None)
        self.client.on_disconnect = self._gone
        port = int(broker.url.rsplit(":", 1)[1])  # type: ignore[attr-defined]
        self.client.reconnect_delay_set(60, 60)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        until(lambda: self.answer is not None)

    def _connected(self, _c: object, _d: object, _f: object, reason: object, _p: object) -> None:
        self.answer = str(reason)

    def _received(self, _c: object, _d: object, message: MQTTMessage) -> None:
        self.inbox.put((message.topic, message.payload))

    def _gone(self, *_: object) -> None:
        self.lost += 1
        self.answer = self.answer or "closed"

    @property
    def admitted(self) -> bool:
        return self.answer == "Success"

    def subscribe(self, *filters: str) -> None:
        for name in filters:
            self.client.subscribe(name, 1)
            self._subscribed.get(timeout=WAIT_S)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self.client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(WAIT_S)

    def cut(self) -> None:
        """Vanish without a word, as a power cut does."""
        self.client.loop_stop()
        self.client.socket().close()  # type: ignore[union-attr]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.01)


@pytest.fixture
def connect(broker: object) -> Iterator[Connect]:
    peers: list[Peer] = []

    def make(user: str | None, **how: object) -> Peer:
        peers.append(Peer(broker, user, **how))  # type: ignore[arg-type]
        return peers[-1]

    yield make
    for peer in peers:
        peer.close()


def test_a_device_speaks_and_is_spoken_to(connect: Connect) -> None:
    ingest, control, car = connect(ingest_user(1)), connect(CONTROL_USER), connect("car-1")
    ingest.subscribe(up(TENANT, "+", "tlm"))
    car.subscribe(down(TENANT, "car-1", "desired"), down(TENANT, "car-1", "ack"))
    car.publish(up(TENANT, "car-1", "tlm"), b"rows")
    assert ingest.inbox.get(timeout=WAIT_S) == (up(TENANT, "car-1", "tlm"), b"rows")
    ingest.publish(down(TENANT, "car-1", "ack"), b"ack")
    assert car.inbox.get(timeout=WAIT_S)[1] == b"ack"
    control.publish(down(TENANT, "car-1", "desired"), b"wish")
    assert car.inbox.get(timeout=WAIT_S)[1] == b"wish"


@pytest.mark.parametrize(
    ("user", "how"),
    [
        (None, {}),
        ("car-1", {"password": "guessed"}),
        ("car-1", {"password": ""}),
        ("nobody", {}),
        (CONTROL_USER, {"password": "guessed"}),
    ],
)
def test_who_cannot_prove_a_name_is_refused(connect: Connect, user: str | None, how: dict[str, str]) -> None:
    assert not connect(user, client_id="car-1", **how).admitted


def test_a_forged_client_id_gives_no_rights_and_throws_nobody_off(broker: object, connect: Connect) -> None:
    ingest, victim = connect(ingest_user(1)), connect("car-1")
    ingest.subscribe(up(TENANT, "+", "tlm"))
    forger = connect("car-2", client_id="car-1")
    if broker.kind == "amqtt":  # type: ignore[attr-defined]  # mosquitto ignores the client id and names it car-2
        assert not forger.admitted
    else:
        forger.publish(up(TENANT, "car-1", "tlm"), b"forged")
    victim.publish(up(TENANT, "car-1", "tlm"), b"true")
    assert ingest.inbox.get(timeout=WAIT_S) == (up(TENANT, "car-1", "tlm"), b"true")
    assert victim.lost == 0


@pytest.mark.parametrize("clean", [True, False])
def test_a_stranger_with_a_devices_client_id_changes_nothing_for_it(connect: Connect, clean: bool) -> None:
    control, victim = connect(CONTROL_USER), connect("car-1", clean=False)
    victim.subscribe(down(TENANT, "car-1", "desired"))
    stranger = connect("nobody", client_id="car-1", clean=clean, will=(up(TENANT, "car-1", "presence"), b"forged"))
    assert not stranger.admitted
    control.publish(down(TENANT, "car-1", "desired"), b"wish")
    assert victim.inbox.get(timeout=WAIT_S)[1] == b"wish"
    assert victim.lost == 0


@pytest.mark.parametrize(
    "topic",
    [
        up(TENANT, "car-2", "tlm"),
        up("other", "car-1", "tlm"),
        down(TENANT, "car-1", "desired"),
        down(TENANT, "car-1", "ack"),
        down(TENANT, "car-2", "desired"),
        up(TENANT, "car-2", "cmd-result"),
        up(TENANT, "car-2", "picture"),
        down(TENANT, "car-1", "cmd"),
        down(TENANT, "car-2", "cmd"),
        f"edge/v1/{TENANT}/d/car-1",
        "elsewhere",
    ],
)
def test_what_a_device_writes_outside_its_up_reaches_nobody(connect: Connect, topic: str) -> None:
    listeners = [connect(ingest_user(1)), connect("car-2"), connect("car-1")]
    listeners[0].subscribe(f"edge/v1/{TENANT}/d/+/up/#")
    listeners[1].subscribe(f"edge/v1/{TENANT}/d/car-2/down/#")
    listeners[2].subscribe(f"edge/v1/{TENANT}/d/car-1/down/#")
    listeners[2].publish(topic, b"forged", retain=True)
    listeners[2].publish(up(TENANT, "car-1", "tlm"), b"last")
    assert listeners[0].inbox.get(timeout=WAIT_S)[1] == b"last"
    late = connect(CONTROL_USER)
    late.subscribe(f"edge/v1/{TENANT}/d/+/up/#")
    control_says_done(late, listeners[1:])
    for listener in (*listeners, late):
        assert b"forged" not in {payload for _, payload in drained(listener)}


def control_says_done(control: Peer, cars: list[Peer]) -> None:
    """When this arrives, everything that was sent before has arrived too."""
    for name, car in zip(("car-2", "car-1"), cars, strict=True):
        control.publish(down(TENANT, name, "desired"), b"done")
        seen = []
        while b"done" not in seen:
            seen.append(car.inbox.get(timeout=WAIT_S)[1])
        assert b"forged" not in seen


def drained(peer: Peer) -> list[tuple[str, bytes]]:
    found = []
    while not peer.inbox.empty():
        found.append(peer.inbox.get())
    return found


@pytest.mark.parametrize(
    "name", ["#", f"edge/v1/{TENANT}/#", f"edge/v1/{TENANT}/d/+/up/#", down(TENANT, "+", "desired"),
             down(TENANT, "car-2", "desired"), up(TENANT, "car-2", "presence"), "$SYS/#",
             down(TENANT, "car-2", "cmd"), up(TENANT, "+", "picture"), up(TENANT, "car-2", "cmd-result")],
)  # fmt: skip
def test_a_device_reads_nothing_but_its_own_down(connect: Connect, name: str) -> None:
    control, ingest, other, spy = connect(CONTROL_USER), connect(ingest_user(1)), connect("car-2"), connect("car-1")
    ingest.subscribe(up(TENANT, "+", "presence"))
    spy.subscribe(name)
    for kind in ("presence", "picture", "cmd-result"):
        other.publish(up(TENANT, "car-2", kind), b"secret", retain=True)
    for kind in ("desired", "cmd"):
        control.publish(down(TENANT, "car-2", kind), b"secret", retain=True)
    spy.subscribe(name, down(TENANT, "car-1", "ack"))
    ingest.publish(down(TENANT, "car-1", "ack"), b"done")
    seen: list[bytes] = []
    while b"done" not in seen:
        seen.append(spy.inbox.get(timeout=WAIT_S)[1])
    assert b"secret" not in seen


def test_retained_messages_reach_only_who_asked_for_them(connect: Connect) -> None:
    ingest, other = connect(ingest_user(1)), connect("car-2")
    ingest.subscribe(up(TENANT, "+", "presence"))
    other.publish(up(TENANT, "car-2", "presence"), b"secret", retain=True)
    assert ingest.inbox.get(timeout=WAIT_S)[1] == b"secret"
    spy = connect("car-1", clean=False)
    spy.subscribe(down(TENANT, "car-1", "ack"))
    ingest.publish(down(TENANT, "car-1", "ack"), b"done")
    assert spy.inbox.get(timeout=WAIT_S)[1] == b"done"


def test_a_last_will_for_another_device_is_never_said(connect: Connect) -> None:
    ingest = connect(ingest_user(1))
    ingest.subscribe(up(TENANT, "+", "presence"))
    honest = connect("car-2", will=(up(TENANT, "car-2", "presence"), b"gone"))
    forger = connect("car-1", will=(up(TENANT, "car-2", "presence"), b"forged"))
    if forger.admitted:
        forger.cut()
    honest.cut()
    seen = []
    while b"gone" not in seen:
        seen.append(ingest.inbox.get(timeout=WAIT_S)[1])
    assert b"forged" not in seen


def test_the_service_itself_cannot_speak_for_a_device(connect: Connect) -> None:
    ingest, control, car = connect(ingest_user(1)), connect(CONTROL_USER), connect("car-1")
    ingest.subscribe(up(TENANT, "+", "tlm"))
    car.subscribe(down(TENANT, "car-1", "desired"))
    control.publish(up(TENANT, "car-1", "tlm"), b"forged")
    ingest.publish(down(TENANT, "car-1", "desired"), b"forged")
    car.publish(up(TENANT, "car-1", "tlm"), b"true")
    control.publish(down(TENANT, "car-1", "desired"), b"true")
    assert ingest.inbox.get(timeout=WAIT_S)[1] == b"true"
    assert car.inbox.get(timeout=WAIT_S)[1] == b"true"


def test_only_control_asks_a_device_for_its_pictures_and_only_its_own_device_answers(connect: Connect) -> None:
    control, car, other = connect(CONTROL_USER), connect("car-1"), connect("car-2")
    control.subscribe(up(TENANT, "car-1", "picture"), up(TENANT, "car-1", "cmd-result"))
    car.subscribe(down(TENANT, "car-1", "cmd"))
    for stranger in (connect(ingest_user(1)), connect(CHUNKS_USER), other):
        stranger.publish(down(TENANT, "car-1", "cmd"), b"forged")
        stranger.publish(up(TENANT, "car-1", "picture"), b"forged")
        stranger.publish(up(TENANT, "car-1", "cmd-result"), b"forged")
    control.publish(down(TENANT, "car-1", "cmd"), b"asked")
    assert car.inbox.get(timeout=WAIT_S)[1] == b"asked"
    car.publish(up(TENANT, "car-1", "cmd-result"), b"list")
    car.publish(up(TENANT, "car-1", "picture"), b"piece")
    assert [control.inbox.get(timeout=WAIT_S)[1] for _ in range(2)] == [b"list", b"piece"]


def test_a_new_credential_works_at_once_and_drops_no_other(broker: object, connect: Connect) -> None:
    other = connect("car-2")
    broker.passwords(car_1="car-1-pw", car_2="car-2-pw", car_3="car-3-pw")  # type: ignore[attr-defined]
    broker.process.send_signal(signal.SIGHUP)  # type: ignore[attr-defined]
    until(lambda: connect("car-3").admitted)
    other.publish(up(TENANT, "car-2", "tlm"), b"still here")
    assert other.lost == 0


@pytest.mark.parametrize(
    ("allowed", "wanted", "verdict"),
    [
        ("a/#", "a/b/c", True),
        ("a/#", "#", False),
        ("a/+/c", "a/b/c", True),
        ("a/+/c", "a/+/c", True),
        ("a/b/c", "a/+/c", False),
        ("a/+", "a/#", False),
        ("a/+/#", "a/#", False),
        ("a/b", "a/b/c", False),
        ("a/b/c", "a/b", False),
        ("a/d/x/up/#", "a/d/x/up", True),
        ("a/d/x/up/#", "a/d/xy/up/z", False),
    ],
)
def test_a_filter_is_allowed_only_when_all_it_matches_is(allowed: str, wanted: str, verdict: bool) -> None:
    assert covers(allowed, wanted) is verdict
