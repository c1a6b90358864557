"""`edge fleet export`: a copy of the repository for devices without a network, on a stick or in a folder."""

import datetime
import os
import shutil
from pathlib import Path

import msgspec
from tuf.api.metadata import Snapshot, Targets, Timestamp

from edge.errors import BadArgumentError, DiskFullError, FleetError
from fleet.answers import FleetStatus
from fleet.config import FleetFolder, write_file
from fleet.repository import SignedBundle, floors, parse, signed_bundles

_TRIES = 5
"""The running service may sign anew between two of our reads."""


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """What was copied, and until when the signatures allow it to be used (UTC)."""

    folder: str
    bundles: tuple[str, ...]
    valid_until: str


class _Copy(msgspec.Struct, frozen=True):
    """Metadata that belong together, by name, the timestamp last; and the bundles that they name."""

    files: dict[str, bytes]
    bundles: dict[str, SignedBundle]
    expires: datetime.datetime


def export(fleet: FleetFolder, to: Path, model: str, version: int | None = None) -> Exported:
    """Copy metadata, and the newest bundle of `model` for each target, or the one `version`, into `to`.

    The service may run or not. Raises: `FileMissingError` where there is no fleet, `FleetError` for what is not
    published or revoked, `BadArgumentError`, `DiskFullError`.
    """
    fleet.config()
    copy = _read(fleet.metadata)
    chosen = _choose(copy.bundles, model, version)
    try:
        for path in chosen:
            _copy_file(fleet.artifacts / path, to / "artifacts" / path)
        (to / "metadata").mkdir(parents=True, exist_ok=True)
        for name, data in copy.files.items():
            write_file(to / "metadata" / name, data)
    except OSError as exc:
        if isinstance(exc, FileExistsError | NotADirectoryError | PermissionError):
            raise BadArgumentError(f"cannot write into {to}: {exc.strerror}", remedy="name a folder") from exc
        raise DiskFullError(f"cannot write into {to}: {exc.strerror}", remedy="use a larger stick") from exc
    return Exported(folder=str(to), bundles=chosen, valid_until=f"{copy.expires:%Y-%m-%d %H:%M} UTC")


def wanted_version(status: FleetStatus, device: str, model: str) -> int:
    """The version that a device is ordered to run; raises `FleetError` when there is no such order."""
    found = next((entry for entry in status.devices if entry.id == device), None)
    wanted = found.models[model].wanted if found and model in found.models else 0
    if not wanted:
        raise FleetError(f"{device} is ordered to run no version of {model}", remedy="leave --device out")
    return wanted


def _choose(bundles: dict[str, SignedBundle], model: str, version: int | None) -> tuple[str, ...]:
    """Paths of what to copy; pure."""
    floor = floors(bundles).get(model, 0)
    mine = {path: item.custom for path, item in bundles.items() if item.custom.model == model}
    usable = {path: custom for path, custom in mine.items() if custom.version >= floor}
    if version is not None:
        usable = {path: custom for path, custom in usable.items() if custom.version == version}
    newest: dict[str, int] = {}
    for custom in usable.values():
        newest[custom.target] = max(newest.get(custom.target, 0), custom.version)
    chosen = sorted(path for path, custom in usable.items() if custom.version == newest[custom.target])
    if not chosen:
        what = f"{model}" if version is None else f"version {version} of {model}"
        raise FleetError(f"{what} is not published, or revoked", remedy="see `edge fleet status` for what is")
    return tuple(chosen)


def _read(metadata: Path) -> _Copy:
    """Metadata of one moment: read again when the service has signed anew meanwhile."""
    for _ in range(_TRIES - 1):
        try:
            return _read_once(metadata)
        except FileNotFoundError:
            continue
    return _read_once(metadata)


def _read_once(metadata: Path) -> _Copy:
    stamp = (metadata / "timestamp.json").read_bytes()
    timestamp = parse(Timestamp, stamp).signed
    snapshot_name = f"{timestamp.snapshot_meta.version}.snapshot.json"
    snapshot_data = (metadata / snapshot_name).read_bytes()
    snapshot = parse(Snapshot, snapshot_data).signed
    targets_name = f"{snapshot.meta['targets.json'].version}.targets.json"
    targets_data = (metadata / targets_name).read_bytes()
    targets = parse(Targets, targets_data).signed
    roots = {path.name: path.read_bytes() for path in sorted(metadata.glob("*.root.json"))}
    files = {**roots, targets_name: targets_data, snapshot_name: snapshot_data, "timestamp.json": stamp}
    return _Copy(files, signed_bundles(targets), min(timestamp.expires, snapshot.expires, targets.expires))


def _copy_file(source: Path, to: Path) -> None:
    """Copy a bundle, whole or not at all: a stick may be pulled out while it is written."""
    to.parent.mkdir(parents=True, exist_ok=True)
    part = to.with_name(f".{to.name}.part")
    with source.open("rb") as whole, part.open("wb") as file:
        shutil.copyfileobj(whole, file, 1 << 20)
        file.flush()
        os.fsync(file.fileno())
    part.replace(to)
