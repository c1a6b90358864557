"""The control child: `python -m fleet.control_process DIR`. Wires `Control` to MQTT, the store and the API."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import msgspec
import uvicorn

from edge import topics
from edge.enrolment import Enrolment
from edge.errors import BrokerError, EdgeError
from edge.messages import Desired, encode
from edge.mqtt import MqttClient
from fleet import asgi_server
from fleet import settings as service_settings
from fleet.api import make_api
from fleet.broker import CONTROL_USER, ServiceLogin, login_file
from fleet.config import FleetFolder
from fleet.control import Control, Urls, run_loop
from fleet.control_store import ControlStore
from fleet.observer import StoreObserver
from fleet.passwords import read_passwords
from fleet.ports import socket_address
from fleet.questions import Questions
from fleet.registry import Registry
from fleet.store import open_store

CONFIRM_S = 5.0
GRACE_S = 5
"""How long a request may hold up the end."""
log = logging.getLogger("fleet.control")


class MqttAnnouncer:
    """Publishes `desired`, retained. After each connect everything is sent again, so nothing is queued here.

    `questions` go over the same connection.
    """

    def __init__(self, login: ServiceLogin) -> None:
        self._tenant = login.tenant
        self.connected = threading.Event()
        self._client = MqttClient(
            login.url,
            client_id=login.username,
            username=login.username,
            password=login.password,
            ca=login.ca or None,
            on_message=self._heard,
            on_connect=self.connected.set,
        )
        self.questions = Questions(login.tenant, self._client)

    def _heard(self, topic: str, payload: bytes) -> None:
        self.questions.heard(topic, payload)

    def start(self) -> None:
        """Begin to connect; goes on trying."""
        self._client.connect()

    def announce(self, device: str, desired: Desired) -> None:
        """Publish what one device should run."""
        if self._client.connected:
            self._client.publish(topics.down(self._tenant, device, "desired"), encode(desired), qos=1, retain=True)

    def confirm(self, enrolment: Enrolment) -> bool:
        """Log in once as the new device: the broker reads its passwords a moment after they were written."""
        until_s = time.monotonic() + CONFIRM_S
        while time.monotonic() < until_s:
            client = MqttClient(
                enrolment.mqtt_url,
                client_id=enrolment.device,
                username=enrolment.username,
                password=enrolment.password,
                ca=enrolment.ca_pem,
            )
            with contextlib.suppress(BrokerError):
                client.connect(wait_s=0.5)
                client.close()
                return True
        log.warning("the broker does not accept the new credential of %s yet", enrolment.device)
        return False

    def close(self) -> None:
        """Disconnect."""
        self._client.close()


def make_control(folder: FleetFolder, announcer: MqttAnnouncer) -> Control:
    """Everything that the API and the loop need."""
    settings = service_settings.load(folder)
    store = ControlStore(folder.control_db)
    service = {user: hashed for user, hashed in read_passwords(folder.passwords).items() if user.startswith(".")}
    return Control(
        folder,
        store=store,
        registry=Registry(store, folder.passwords, service),
        observer=StoreObserver(open_store(settings.store_url), folder),
        announcer=announcer,
        asker=announcer.questions,
        urls=Urls(mqtt_url=settings.mqtt_url, http_url=settings.http_url),
    )


def run(folder: FleetFolder) -> None:
    """Serve until SIGTERM."""
    login = msgspec.json.decode(login_file(folder, CONTROL_USER).read_bytes(), type=ServiceLogin)
    announcer = MqttAnnouncer(login)
    control = make_control(folder, announcer)
    stop = threading.Event()
    announcer.start()
    loops = [
        threading.Thread(target=run_loop, args=(control, stop, _log_failure), name="rollouts", daemon=True),
        threading.Thread(target=_announce, args=(control, announcer, stop), name="announce", daemon=True),
    ]
    for loop in loops:
        loop.start()
    config = uvicorn.Config(make_api(control), log_level="warning", lifespan="off", timeout_graceful_shutdown=GRACE_S)
    asyncio.run(asgi_server.serve([asgi_server.Server(config)], [listen(folder.socket)]))
    stop.set()
    for loop in loops:
        loop.join(timeout=10)
    announcer.close()
    folder.socket.unlink(missing_ok=True)


def _announce(control: Control, announcer: MqttAnnouncer, stop: threading.Event) -> None:
    """After each connect, send every wish: the broker may have lost what it was told, or never heard it."""
    while not stop.is_set():
        if announcer.connected.wait(0.5):
            announcer.connected.clear()
            control.announce_all()


def listen(path: Path) -> socket.socket:
    """A Unix socket that only its owner may open, from its first moment on; who calls before it is served waits."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(socket_address(path))
    finally:
        os.umask(before)
    listener.listen()
    return listener


def _log_failure(exc: Exception) -> None:
    log.error("a step failed and is tried again", exc_info=exc)


def main() -> int:
    """Entry of the child process."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        run(FleetFolder(Path(sys.argv[1]).resolve()))
    except EdgeError as exc:
        log.error("%s", exc)  # noqa: TRY400  # it says what to do; a trace says nothing more
        return exc.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
