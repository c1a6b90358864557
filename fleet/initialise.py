"""`edge fleet init`: keys, certificates and the first metadata of a new fleet."""

import datetime
import secrets
from pathlib import Path

import msgspec

from edge.errors import BadArgumentError
from edge.topics import is_id
from fleet.certificates import make_certificates
from fleet.config import FleetConfig, FleetFolder, write_file, write_private
from fleet.keys import make_key, make_keys
from fleet.repository import Repository, create


def init_fleet(root: Path, keys: Path, *, tenant: str = "main", host: str = "127.0.0.1") -> FleetFolder:
    """Make the folder of a fleet, and its offline keys in `keys`, which must not lie below `root`."""
    folder, now = FleetFolder(root.resolve()), datetime.datetime.now(datetime.UTC)
    config = _checked(folder, keys.resolve(), tenant, host)
    roots, targets = make_keys(keys.resolve())
    for path in (folder.root, folder.online, folder.broker, folder.tls):
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.chmod(0o700)
    for path in (folder.metadata, folder.artifacts, folder.reports, folder.incoming):
        path.mkdir(exist_ok=True)
    _write_certificates(folder, keys, tenant, host, now)
    online = {role: make_key(folder.online / f"{role}.pem").public_key for role in ("snapshot", "timestamp")}
    root_json = create(folder.metadata, roots, targets, dict(online), now)
    write_file(keys / "root.json", root_json)
    Repository(folder.metadata, folder.online).refresh(now)
    write_private(folder.token_file, f"{secrets.token_urlsafe(32)}\n".encode())
    # last: a folder without fleet.json is no fleet, so a broken init is seen as one
    write_file(folder.config_file, msgspec.json.encode(config))
    return folder


def _checked(folder: FleetFolder, keys: Path, tenant: str, host: str) -> FleetConfig:
    if folder.config_file.exists() or (folder.root.exists() and any(folder.root.iterdir())):
        raise BadArgumentError(f"{folder.root} is not empty", remedy="name a new folder for the fleet")
    if keys.is_relative_to(folder.root):
        problem = f"the keys folder {keys} lies inside {folder.root}, which will be served"
        raise BadArgumentError(problem, remedy="name a folder elsewhere, best on a disk that you can take out")
    if not is_id(tenant):
        raise BadArgumentError(f"{tenant!r} cannot name a tenant", remedy="use letters, digits, - and _")
    try:
        return msgspec.convert({"tenant": tenant, "host": host}, FleetConfig)
    except msgspec.ValidationError as exc:
        raise BadArgumentError(f"{host!r} is not a host: {exc}", remedy="give a DNS name or an address") from exc


def _write_certificates(folder: FleetFolder, keys: Path, tenant: str, host: str, now: datetime.datetime) -> None:
    made = make_certificates(tenant, host, now)
    write_file(folder.tls / "ca.pem", made.ca)
    write_file(folder.tls / "server.pem", made.server)
    write_private(folder.tls / "server.key", made.server_key)
    write_private(keys / "ca.key", made.ca_key)
    write_file(keys / "ca.pem", made.ca)
