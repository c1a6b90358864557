"""What `edge fleet serve` decided at its start: `service.json`, read by its child processes and by people."""

from typing import Literal

import msgspec

from edge.errors import FileMissingError
from fleet.config import FleetFolder, write_private


class ServiceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Ports, addresses and URLs of the running service."""

    broker: Literal["mosquitto", "amqtt", "external"]
    store_url: str
    bind: str
    """Address of the device side (MQTT and HTTPS)."""
    http_port: int
    mqtt_port: int
    page_bind: str
    page_port: int
    ingest_workers: int
    mqtt_url: str
    """As devices reach it; so are the next two."""
    http_url: str
    page_url: str


def save(folder: FleetFolder, settings: ServiceSettings) -> None:
    """Write service.json; it may hold a database password."""
    write_private(folder.service_file, msgspec.json.encode(settings))


def load(folder: FleetFolder) -> ServiceSettings:
    """Read service.json."""
    try:
        return msgspec.json.decode(folder.service_file.read_bytes(), type=ServiceSettings)
    except OSError as exc:
        raise FileMissingError(f"{folder.root} is not served", remedy=f"edge fleet serve {folder.root}") from exc
