"""The broker child: mosquitto where it is installed, else amqtt; both with TLS, passwords, and every device confined.

A device writes below its own `up/` and reads below its own `down/`, by its authenticated *user name*: a client id
proves nothing. Nothing that matters is kept by the broker: devices and the service send their retained messages again
when they connect, and telemetry is acknowledged after its commit, so mosquitto saves its state once a minute only.
"""

import importlib.util
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from edge.errors import MissingExtraError
from edge.topics import ROOT
from fleet.config import FleetFolder, write_private

Kind = Literal["mosquitto", "amqtt"]
CONTROL_USER = ".control"
"""Service users begin with a dot, which no device id can."""
CHUNKS_USER = ".chunks"
MAX_MESSAGE_BYTES = 1 << 20
_SYSTEM_PATHS = "/usr/sbin:/usr/local/sbin"
"""Where Debian installs mosquitto, and where an ordinary user's PATH does not look."""


@dataclass(frozen=True, slots=True)
class Access:
    """What one service user may do: filters relative to the tenant, `+` for any device."""

    user: str
    read: tuple[str, ...]
    write: tuple[str, ...]


class ServiceLogin(msgspec.Struct, frozen=True, kw_only=True):
    """How a process of the service connects: `broker/USER.login` (0600), made anew at each start."""

    url: str
    username: str
    password: str
    ca: str
    """PEM of the CA; empty for a broker without TLS."""
    tenant: str


class BrokerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All that a broker child needs to know; the amqtt child reads it as a file."""

    tenant: str
    bind: str
    port: int
    certificate: str
    key: str
    passwords: str
    service: tuple[Access, ...]


def service_access(ingest_workers: int) -> tuple[Access, ...]:
    """The service's own users: control orders and asks, chunks serves, ingest acknowledges; none speaks for devices."""
    control = Access(CONTROL_USER, ("d/+/up/#",), ("d/+/down/desired", "d/+/down/cmd"))
    chunks = Access(CHUNKS_USER, ("d/+/up/ota/req",), ("d/+/down/ota/chunk",))
    names = [ingest_user(number) for number in range(1, ingest_workers + 1)]
    return (control, chunks, *(Access(name, ("d/+/up/#",), ("d/+/down/ack",)) for name in names))


def ingest_user(number: int) -> str:
    """User name of one ingest worker; each has its own, because the name is the client id."""
    return f".ingest-{number}"


def login_file(folder: FleetFolder, user: str) -> Path:
    """Where the login of a service user lies."""
    return folder.broker / f"{user[1:]}.login"


def mosquitto_path() -> str | None:
    """Find mosquitto, if it is installed."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path=_SYSTEM_PATHS)


def choose_kind(wanted: str | None = None) -> Kind:
    """The broker that is installed here, or the one that is wanted; raises `MissingExtraError`."""
    if mosquitto_path() and wanted != "amqtt":
        return "mosquitto"
    if importlib.util.find_spec("amqtt") and wanted != "mosquitto":
        return "amqtt"
    remedy = "install mosquitto (apt install mosquitto), or pip install 'edgewright[fleet]', or pass --broker URL"
    raise MissingExtraError(f"{wanted or 'no MQTT broker'} is {'not ' if wanted else ''}installed", remedy=remedy)


def prepare(kind: Kind, folder: Path, settings: BrokerSettings) -> list[str]:
    """Write the broker's configuration into `folder` (0700); returns the command that starts it."""
    if kind == "amqtt":
        path = folder / "amqtt.json"
        write_private(path, msgspec.json.encode(settings))
        return [sys.executable, "-m", "fleet.broker_amqtt", str(path)]
    write_private(folder / "acl", mosquitto_acl(settings).encode())
    write_private(folder / "mosquitto.conf", mosquitto_conf(folder, settings).encode())
    return [mosquitto_path() or "mosquitto", "-c", str(folder / "mosquitto.conf")]


def mosquitto_acl(settings: BrokerSettings) -> str:
    """The ACL file; a `user` section applies to that user only, a `pattern` to everybody."""
    top = f"{ROOT}/{settings.tenant}"
    lines = [f"pattern write {top}/d/%u/up/#", f"pattern read {top}/d/%u/down/#"]
    for access in settings.service:
        lines += ["", f"user {access.user}"]
        lines += [f"topic read {top}/{name}" for name in access.read]
        lines += [f"topic write {top}/{name}" for name in access.write]
    return "\n".join(lines) + "\n"


def mosquitto_conf(folder: Path, settings: BrokerSettings) -> str:
    """The configuration file of mosquitto 2."""
    lines = [
        "per_listener_settings false",
        "allow_anonymous false",
        f"password_file {settings.passwords}",
        f"acl_file {folder / 'acl'}",
        "persistence true",
        f"persistence_location {folder}/",
        "autosave_interval 60",
        f"max_packet_size {MAX_MESSAGE_BYTES}",
        "max_inflight_messages 100",
        "max_queued_messages 10000",
        "persistent_client_expiration 14d",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
        "log_type notice",
        "connection_messages false",
        f"listener {settings.port} {settings.bind}",
        f"certfile {settings.certificate}",
        f"keyfile {settings.key}",
        "use_username_as_clientid true",
    ]
    # started by root, mosquitto would become user mosquitto, who cannot read the fleet's private files
    if os.geteuid() == 0:
        lines.insert(0, "user root")
    return "\n".join(lines) + "\n"
