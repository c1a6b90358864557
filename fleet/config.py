"""Where everything of one fleet lies on disk, and the few facts fixed when it was made.

```
DIR/  fleet.json  metadata/  artifacts/MODEL/MODEL-VERSION.edge  reports/MODEL-VERSION/  online/  tls/  broker/
      control.db  telemetry.db  admin.token  admin.sock
```
The private root, targets and CA keys are never below DIR: they stay in the `--keys` folder.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from edge.errors import BadConfigError, FileMissingError
from edge.topics import ID_PATTERN

_TARGET = re.compile(r"^([A-Za-z0-9][A-Za-z0-9_-]{0,63})/\1-([1-9][0-9]{0,9})\.edge$")

_DELTA = re.compile(r"^([A-Za-z0-9][A-Za-z0-9_-]{0,63})/\1-([1-9][0-9]{0,9})-([1-9][0-9]{0,9})\.delta$")


class FleetConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`fleet.json`."""

    format: Annotated[int, msgspec.Meta(ge=1, le=1)] = 1
    tenant: Annotated[str, msgspec.Meta(pattern=ID_PATTERN)]
    host: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9:][A-Za-z0-9.:-]{0,252}$(?!\n)")]
    """Name or address under which devices reach this machine."""


@dataclass(frozen=True, slots=True)
class FleetFolder:
    """The paths below one DIR."""

    root: Path

    @property
    def config_file(self) -> Path:
        """Tenant and host."""
        return self.root / "fleet.json"

    @property
    def metadata(self) -> Path:
        """TUF metadata, served as it lies there."""
        return self.root / "metadata"

    @property
    def artifacts(self) -> Path:
        """Published bundles, by TUF target path."""
        return self.root / "artifacts"

    @property
    def incoming(self) -> Path:
        """Uploaded files that no signed metadata names yet."""
        return self.root / "incoming"

    @property
    def reports(self) -> Path:
        """What the compiler reported, for people; never sent to a device."""
        return self.root / "reports"

    @property
    def online(self) -> Path:
        """Private snapshot and timestamp keys (0700)."""
        return self.root / "online"

    @property
    def tls(self) -> Path:
        """Certificate of the CA, certificate and key of the server."""
        return self.root / "tls"

    @property
    def broker(self) -> Path:
        """Configuration, passwords and persistence of the broker (0700)."""
        return self.root / "broker"

    @property
    def passwords(self) -> Path:
        """Hashes of every MQTT and HTTP password, in mosquitto's format."""
        return self.broker / "passwords"

    @property
    def control_db(self) -> Path:
        """Registry, rollouts and wishes; only the control process writes it."""
        return self.root / "control.db"

    @property
    def telemetry_url(self) -> str:
        """Default database of telemetry."""
        return f"sqlite:///{self.root / 'telemetry.db'}"

    @property
    def socket(self) -> Path:
        """Unix socket of the API; who may open it may do everything (0600)."""
        return self.root / "admin.sock"

    @property
    def token_file(self) -> Path:
        """Token that stands for the same right over the network (0600)."""
        return self.root / "admin.token"

    @property
    def service_file(self) -> Path:
        """URLs and process ids of the running service."""
        return self.root / "service.json"

    def config(self) -> FleetConfig:
        """Read `fleet.json`."""
        try:
            return msgspec.json.decode(self.config_file.read_bytes(), type=FleetConfig)
        except OSError as exc:
            remedy = "make a fleet with `edge fleet init DIR --keys KEYS`, or name its folder"
            raise FileMissingError(f"{self.root} holds no fleet", remedy=remedy) from exc
        except msgspec.MsgspecError as exc:
            remedy = "restore the file; it holds format, tenant and host"
            raise BadConfigError(f"{self.config_file} is unreadable: {exc}", remedy=remedy) from exc

    def token(self) -> str:
        """Read the admin token."""
        return self.token_file.read_text().strip()


def target_path(model: str, version: int) -> str:
    """Name of a bundle in TUF and below `/artifacts/`."""
    return f"{model}/{model}-{version}.edge"


def delta_path(model: str, from_version: int, version: int) -> str:
    """Name of a difference between two bundles in TUF and below `/artifacts/`."""
    return f"{model}/{model}-{from_version}-{version}.delta"


def is_delta_path(text: str) -> bool:
    """Say whether `text` may name a difference."""
    return _DELTA.fullmatch(text) is not None


def is_target_path(text: str) -> bool:
    """Say whether `text` may name a bundle."""
    return _TARGET.fullmatch(text) is not None


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all, and durably."""
    write_file(path, data, mode=0o600)


def write_file(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace `path` by `data`: after a power cut it holds the old bytes or the new ones."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
