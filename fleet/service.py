"""`edge fleet serve`. MAIN PATH: `serve` — check, choose, prepare, start, wait until it answers, watch, stop.

Children: broker (mosquitto, else amqtt), control (the only writer of DIR), chunks, ingest workers, web. Each is a
process of its own because of Python's global lock; each may be killed and comes back.
"""

import contextlib
import fcntl
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

import msgspec
from tuf.api.metadata import Root

from edge.errors import BadArgumentError, BrokerError, EdgeError, FleetError, TrustError
from edge.mqtt import parse_url
from fleet import broker as brokers
from fleet import settings as service_settings
from fleet.client import FleetClient
from fleet.config import FleetConfig, FleetFolder, write_private
from fleet.control_store import ControlStore
from fleet.keys import stray_keys
from fleet.passwords import hash_password, new_password, write_passwords
from fleet.ports import answers, claim, is_loopback
from fleet.repository import parse
from fleet.settings import ServiceSettings
from fleet.supervisor import Child, Supervisor, python

READY_S = 120.0
WATCH_S = 0.2


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line may say. A port of 0 means any free one."""

    broker: str | None = None
    """URL of the user's own; "mosquitto" or "amqtt"; by default what is installed."""
    store: str | None = None
    bind: str | None = None
    """Address of the device side; loopback when the fleet's host is, else every address."""
    http_port: int = 8443
    mqtt_port: int = 8883
    page_bind: str = "127.0.0.1"
    page_port: int = 8080
    ingest_workers: int = 1


def serve(root: Path, options: Options, ready: Callable[[ServiceSettings], None], stop: threading.Event) -> None:
    """Run the service of the fleet in `root` until `stop`; `ready` is called once everything answers."""
    folder = FleetFolder(root.resolve())
    config = folder.config()
    _refuse_stray_keys(folder)
    with _alone(folder):
        settings = _settle(folder, config, options)
        service_settings.save(folder, settings)
        supervisor = Supervisor(_children(folder, config, settings))
        try:
            supervisor.start()
            _wait_until_ready(folder, settings, supervisor, stop)
            if not stop.is_set():
                ready(settings)
            _watch(folder, supervisor, stop)
        finally:
            supervisor.stop()
            folder.service_file.unlink(missing_ok=True)


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    return stop


def _refuse_stray_keys(folder: FleetFolder) -> None:
    newest = max(folder.metadata.glob("*.root.json"), key=lambda path: int(path.name.split(".")[0]))
    found = stray_keys(folder.root, parse(Root, newest.read_bytes()).signed)
    if found:
        problem = f"private root or targets keys lie in the folder to be served: {', '.join(map(str, found))}"
        raise TrustError(problem, remedy="move them to a place that this machine does not serve, best offline")


@contextlib.contextmanager
def _alone(folder: FleetFolder) -> Iterator[None]:
    """One service a folder."""
    with (folder.root / "serve.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise FleetError(
                f"{folder.root} is served already", remedy="stop the other `edge fleet serve` first"
            ) from exc
        yield


def _settle(folder: FleetFolder, config: FleetConfig, options: Options) -> ServiceSettings:
    """Decide broker, ports and URLs.

    Raises: `PortTakenError`, `MissingExtraError`, `BadArgumentError`, `BrokerError`.
    """
    bind = options.bind or ("127.0.0.1" if is_loopback(config.host) else "0.0.0.0")  # noqa: S104  # devices reach it
    host = f"[{config.host}]" if ":" in config.host else config.host
    url = _external(options.broker) if options.broker not in (None, "mosquitto", "amqtt") else None
    if url:
        _require_broker(url)
    kind = "external" if url else brokers.choose_kind(options.broker)
    mqtt_port = 0 if url else claim(bind, options.mqtt_port, "--mqtt-port")
    http_port = claim(bind, options.http_port, "--http-port")
    page_port = claim(options.page_bind, options.page_port, "--page-port")
    return ServiceSettings(
        broker=kind,
        store_url=options.store or folder.telemetry_url,
        bind=bind,
        http_port=http_port,
        mqtt_port=mqtt_port,
        page_bind=options.page_bind,
        page_port=page_port,
        ingest_workers=1 if kind == "amqtt" else max(1, options.ingest_workers),  # amqtt shares no subscriptions
        mqtt_url=url or f"mqtts://{host}:{mqtt_port}",
        http_url=f"https://{host}:{http_port}",
        page_url=f"http://127.0.0.1:{page_port}" if is_loopback(options.page_bind) else f"https://{host}:{page_port}",
    )


def _external(url: str | None) -> str:
    """A broker of the user's own: its users are ours, so the URL names none."""
    parts = urlsplit(url or "")
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or parts.username or parts.path not in ("", "/"):
        remedy = "pass mqtts://host:port, and give that broker DIR/broker/passwords and DIR/broker/acl"
        raise BadArgumentError(f"{url!r} is not the URL of a broker", remedy=remedy)
    return parts.geturl().rstrip("/")


def _require_broker(url: str) -> None:
    """Somebody must listen there now; who it is, and whether we may log in, shows when it has got our passwords."""
    address = parse_url(url)
    if not answers(address.host, address.port):
        problem = f"no broker answers at {address.host}:{address.port}"
        raise BrokerError(problem, remedy="start the broker first, or leave --broker out: the service brings its own")


def _children(folder: FleetFolder, config: FleetConfig, settings: ServiceSettings) -> list[Child]:
    """The table of processes, in the order of their start."""
    access = brokers.service_access(settings.ingest_workers)
    _write_logins(folder, config, settings, access)
    rules = brokers.BrokerSettings(
        tenant=config.tenant,
        bind=settings.bind,
        port=settings.mqtt_port,
        certificate=str(folder.tls / "server.pem"),
        key=str(folder.tls / "server.key"),
        passwords=str(folder.passwords),
        service=access,
    )
    children = [
        Child("control", python("fleet.control_process", str(folder.root))),
        Child("chunks", python("fleet.chunks", str(folder.root))),
        *(
            Child(user[1:], python("fleet.ingest", str(brokers.login_file(folder, user)), settings.store_url,
                                   "--worker", str(number), "--workers", str(settings.ingest_workers)))
            for number in range(1, settings.ingest_workers + 1)
            for user in (brokers.ingest_user(number),)
        ),
        Child("web", python("fleet.web", str(folder.root))),
    ]  # fmt: skip
    if settings.broker == "external":
        write_private(folder.broker / "acl", brokers.mosquitto_acl(rules).encode())
        return children
    return [Child("broker", brokers.prepare(settings.broker, folder.broker, rules), reload=True), *children]


def _write_logins(
    folder: FleetFolder, config: FleetConfig, settings: ServiceSettings, access: tuple[brokers.Access, ...]
) -> None:
    """Give each of our own processes a login, and the broker all passwords. Logins stay: the broker may be yours."""
    store = ControlStore(folder.control_db)
    hashes = store.passwords()
    store.close()
    for user in (entry.user for entry in access):
        path = brokers.login_file(folder, user)
        known = msgspec.json.decode(path.read_bytes(), type=brokers.ServiceLogin).password if path.exists() else None
        login = brokers.ServiceLogin(
            url=settings.mqtt_url,
            username=user,
            password=known or new_password(),
            ca=(folder.tls / "ca.pem").read_text() if settings.mqtt_url.startswith("mqtts:") else "",
            tenant=config.tenant,
        )
        write_private(path, msgspec.json.encode(login))
        hashes[user] = hash_password(login.password)
    write_passwords(folder.passwords, hashes)


def _wait_until_ready(
    folder: FleetFolder, settings: ServiceSettings, supervisor: Supervisor, stop: threading.Event
) -> None:
    """Wait until every part answers. A child that ends now will not come right by starting it again."""
    until_s = time.monotonic() + READY_S
    client = FleetClient.local(folder.root)
    waiting = _questions(folder, settings, client)
    while waiting and not stop.is_set():
        ended = supervisor.ended()
        if ended and not stop.is_set():
            code = ended[0].process.returncode if ended[0].process else None
            raise FleetError(f"{ended[0].name} ended at once (exit code {code})", remedy="see its lines above")
        if time.monotonic() > until_s:
            raise FleetError(f"no answer from {', '.join(waiting)} in {READY_S:g} s", remedy="see the lines above")
        waiting = {name: question for name, question in waiting.items() if not question()}
        stop.wait(0.1)
    client.close()


def _questions(folder: FleetFolder, settings: ServiceSettings, client: FleetClient) -> dict[str, Callable[[], bool]]:
    here = "127.0.0.1" if settings.bind in ("0.0.0.0", "") else settings.bind  # noqa: S104  # a comparison
    questions: dict[str, Callable[[], bool]] = {
        "control": lambda: _control_answers(client),
        "web": lambda: answers(here, settings.http_port, folder.tls / "ca.pem"),
        "page": lambda: answers(settings.page_bind.replace("0.0.0.0", "127.0.0.1"), settings.page_port),  # noqa: S104
    }
    if settings.broker != "external":
        questions["broker"] = lambda: answers(here, settings.mqtt_port, folder.tls / "ca.pem")
    return questions


def _control_answers(client: FleetClient) -> bool:
    with contextlib.suppress(EdgeError):
        client.status()
        return True
    return False


def _watch(folder: FleetFolder, supervisor: Supervisor, stop: threading.Event) -> None:
    """Until `stop`: bring children back, and tell the broker when control has written new passwords."""
    stamp = folder.passwords.stat().st_mtime_ns
    while not stop.wait(WATCH_S):
        supervisor.watch()
        with contextlib.suppress(FileNotFoundError):
            now = folder.passwords.stat().st_mtime_ns
            if now != stamp:
                supervisor.reload()
                stamp = now
