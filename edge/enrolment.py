"""The one file a device needs to join a fleet: `ID.enrol`, JSON, readable by its owner only.

It holds where the fleet is, whom to believe (the fleet's CA, the first TUF root), and the device's own credential.
"""

import os
from pathlib import Path
from typing import Annotated

import msgspec

from edge.errors import BadConfigError, FileMissingError
from edge.topics import ID_PATTERN

MAX_ENROLMENT_BYTES = 1 << 20
_Id = Annotated[str, msgspec.Meta(pattern=ID_PATTERN)]
_Url = Annotated[str, msgspec.Meta(max_length=500)]


class Enrolment(msgspec.Struct, frozen=True, kw_only=True):
    """Content of `ID.enrol`."""

    tenant: _Id
    device: _Id
    mqtt_url: _Url
    """mqtts://host:port"""
    http_url: _Url
    """https://host:port; below it lie `metadata/` and `artifacts/`."""
    username: _Id
    """Equal to `device`: the broker confines by user name."""
    password: str
    ca_pem: str
    """Certificate of the fleet's own CA; the only one to believe."""
    root_json: str
    """First TUF root metadata, as text."""


def read_enrolment(path: Path) -> Enrolment:
    """Read `ID.enrol`, or raise `FileMissingError` or `BadConfigError`."""
    remedy = "ask the fleet for a new one: edge fleet enrol DEVICE -o DEVICE.enrol"
    try:
        with path.open("rb") as file:
            data = file.read(MAX_ENROLMENT_BYTES)
    except OSError as exc:
        raise FileMissingError(f"cannot read the enrolment {path}: {exc.strerror}", remedy=remedy) from exc
    try:
        return msgspec.json.decode(data, type=Enrolment)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise BadConfigError(f"{path} is not an enrolment: {exc}", remedy=remedy) from exc


def write_enrolment(path: Path, enrolment: Enrolment) -> None:
    """Write `ID.enrol` with mode 0600, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(enrolment), indent=1))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
