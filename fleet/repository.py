"""The TUF repository, served side: what may be installed, as signed by whom.

Root and targets are signed elsewhere (`fleet.signing`) with keys this side does not have; here they are checked, and
snapshot and timestamp are signed with the online keys. Each commit ends with timestamp.json: what it does not name
does not exist, so a crash before it leaves the old state.
"""

import datetime
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Key, Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer

from edge.errors import BadMessageError, FleetError, TrustError
from edge.manifest import Name
from edge.messages import Count, Text, Version
from fleet.answers import MovedOnError
from fleet.config import delta_path, is_delta_path, is_target_path, target_path, write_file
from fleet.keys import ROOT_THRESHOLD, load_key

ROOT_DAYS, TARGETS_DAYS, ONLINE_DAYS = 3650, 365, 7
MAX_TARGETS_BYTES = 5_000_000
"""What python-tuf's client accepts: about 10,000 bundles."""
KEPT_SNAPSHOTS = 8
"""A device that read timestamp.json a moment ago must still find the snapshot that it names."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
S = TypeVar("S", Root, Timestamp, Snapshot, Targets)


class Custom(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is signed about one bundle besides its bytes."""

    model: Name
    version: Version
    target: Name
    min_agent: Text
    """Lowest release of the agent that can run it."""
    floor: Count
    """No device installs a version of this model below the highest floor signed for it."""


class DeltaCustom(Custom, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is signed about a difference: what a bundle says of the version it leads to, and where it begins."""

    from_version: Version
    from_sha256: Text
    to_sha256: Text


@dataclass(frozen=True, slots=True)
class SignedDelta:
    """One published difference."""

    path: str
    sha256: str
    size_bytes: int
    custom: DeltaCustom


@dataclass(frozen=True, slots=True)
class SignedBundle:
    """One published bundle: its place, its bytes' identity, and what was signed about it."""

    path: str
    sha256: str
    size_bytes: int
    custom: Custom


def signed_bundles(targets: Targets) -> dict[str, SignedBundle]:
    """Everything that targets metadata names, checked; raises `TrustError`."""
    return {
        path: _signed_bundle(path, target) for path, target in targets.targets.items() if not path.endswith(".delta")
    }


def signed_deltas(targets: Targets) -> dict[str, SignedDelta]:
    """Every difference that targets metadata name, checked; raises `TrustError`."""
    return {path: _signed_delta(path, target) for path, target in targets.targets.items() if path.endswith(".delta")}


def floors(bundles: dict[str, SignedBundle]) -> dict[str, int]:
    """By model: the floor in force."""
    result: dict[str, int] = {}
    for bundle in bundles.values():
        result[bundle.custom.model] = max(result.get(bundle.custom.model, 0), bundle.custom.floor)
    return result


def parse(kind: type[S], data: bytes) -> Metadata[S]:
    """Read one metadata file; raises `BadMessageError`."""
    try:
        metadata: Metadata[S] = Metadata.from_bytes(data)
    except (RepositoryError, RecursionError, ValueError) as exc:
        raise BadMessageError(f"unreadable metadata: {exc}", remedy="run tools and service of one release") from exc
    if metadata.signed.type != kind.type:
        raise BadMessageError(f"metadata of role {metadata.signed.type}, not {kind.type}", remedy="send that role")
    return metadata


def verify_targets(root: Root, metadata: Metadata[Targets]) -> None:
    """Check that the key that `root` names signed this; raises `TrustError`."""
    try:
        root.verify_delegate(Targets.type, metadata.signed_bytes, metadata.signatures)
    except RepositoryError as exc:
        raise TrustError(
            f"the targets are not signed by this fleet's key: {exc}", remedy="use this fleet's keys"
        ) from exc


def to_bytes(metadata: Metadata[S]) -> bytes:
    """Serialise as stored, served and hashed."""
    return metadata.to_bytes(JSONSerializer())


def create(folder: Path, roots: tuple[CryptoSigner, ...], targets: CryptoSigner, online: dict[str, Key],
           now: datetime.datetime) -> bytes:  # fmt: skip
    """Write root and the first, empty targets below `folder`; returns the root. `Repository.refresh` comes next."""
    root = Root(expires=_after(now, ROOT_DAYS), consistent_snapshot=True)
    for signer in roots:
        root.add_key(signer.public_key, Root.type)
    root.roles[Root.type].threshold = ROOT_THRESHOLD
    for role, key in {**online, Targets.type: targets.public_key}.items():
        root.add_key(key, role)
    signed = Metadata(root)
    for signer in roots[:ROOT_THRESHOLD]:
        signed.sign(signer, append=True)
    first = Metadata(Targets(expires=_after(now, TARGETS_DAYS)))
    first.sign(targets)
    write_file(folder / "1.targets.json", to_bytes(first))
    write_file(folder / "1.root.json", to_bytes(signed))
    return to_bytes(signed)


class Repository:
    """Metadata below one folder, and the two online keys. One writer: the control process."""

    def __init__(self, metadata: Path, online: Path) -> None:
        self.folder = metadata
        self._snapshot_key = load_key(online / "snapshot.pem")
        self._timestamp_key = load_key(online / "timestamp.pem")
        self._version = self._read_version()

    @property
    def root_json(self) -> bytes:
        """The newest root."""
        return max(self.folder.glob("*.root.json"), key=_version_of).read_bytes()

    @property
    def first_root_json(self) -> bytes:
        """The root that devices pin."""
        return (self.folder / "1.root.json").read_bytes()

    @property
    def root(self) -> Root:
        """The newest root, parsed."""
        return parse(Root, self.root_json).signed

    @property
    def targets_json(self) -> bytes:
        """The targets in force."""
        return (self.folder / f"{self._version}.targets.json").read_bytes()

    @property
    def targets(self) -> Targets:
        """The targets in force, parsed."""
        return parse(Targets, self.targets_json).signed

    def bundles(self) -> dict[str, SignedBundle]:
        """Every published bundle, by target path."""
        return signed_bundles(self.targets)

    def check(self, data: bytes, now: datetime.datetime) -> dict[str, SignedBundle]:
        """Check new targets metadata against the one in force; returns the bundles it adds.

        Raises: MovedOnError when it was not made from the targets in force, TrustError, BadMessageError.
        """
        new = parse(Targets, data)
        verify_targets(self.root, new)
        old = self.targets
        if new.signed.version != old.version + 1:
            problem = f"targets version {new.signed.version} does not follow version {old.version}, which is in force"
            raise MovedOnError(problem, remedy="read the targets again and sign again")
        if new.signed.is_expired(now) or new.signed.delegations is not None:
            raise TrustError("the targets are expired or delegate", remedy="check the clock of the machine that signs")
        _check_deltas(signed_deltas(old), signed_deltas(new.signed))
        return _additions(signed_bundles(old), signed_bundles(new.signed))

    def new_deltas(self, data: bytes) -> tuple[SignedDelta, ...]:
        """The differences that checked targets metadata add to those in force."""
        old = signed_deltas(self.targets)
        return tuple(delta for path, delta in signed_deltas(parse(Targets, data).signed).items() if path not in old)

    def commit(self, data: bytes, now: datetime.datetime) -> None:
        """Put checked targets metadata in force. Its artifacts must lie in place already."""
        version = parse(Targets, data).signed.version
        write_file(self.folder / f"{version}.targets.json", data)
        self._sign_online(version, now)
        self._version = version

    def refresh(self, now: datetime.datetime) -> None:
        """Sign snapshot and timestamp anew, so that they do not expire while the service runs."""
        self._sign_online(self._version, now)

    def _read_version(self) -> int:
        """Version that timestamp -> snapshot name; 1 in a new repository."""
        try:
            timestamp = parse(Timestamp, (self.folder / "timestamp.json").read_bytes()).signed
        except FileNotFoundError:
            return 1
        number = timestamp.snapshot_meta.version
        snapshot = parse(Snapshot, (self.folder / f"{number}.snapshot.json").read_bytes()).signed
        return snapshot.meta["targets.json"].version

    def _sign_online(self, targets_version: int, now: datetime.datetime) -> None:
        try:
            before = parse(Timestamp, (self.folder / "timestamp.json").read_bytes()).signed
            number, snapshot_number = before.version + 1, before.snapshot_meta.version + 1
        except FileNotFoundError:
            number = snapshot_number = 1
        expires = _after(now, ONLINE_DAYS)
        meta = {"targets.json": MetaFile(targets_version)}
        snapshot = Metadata(Snapshot(snapshot_number, expires=expires, meta=meta))
        snapshot.sign(self._snapshot_key)
        write_file(self.folder / f"{snapshot_number}.snapshot.json", to_bytes(snapshot))
        timestamp = Metadata(Timestamp(number, expires=expires, snapshot_meta=MetaFile(snapshot_number)))
        timestamp.sign(self._timestamp_key)
        write_file(self.folder / "timestamp.json", to_bytes(timestamp))
        self._prune("snapshot", snapshot_number)
        self._prune("targets", targets_version)  # a snapshot is signed with each, so these are all that kept ones name

    def _prune(self, role: str, newest: int) -> None:
        for path in self.folder.glob(f"*.{role}.json"):
            if _version_of(path) <= newest - KEPT_SNAPSHOTS:
                path.unlink()


def _additions(old: dict[str, SignedBundle], new: dict[str, SignedBundle]) -> dict[str, SignedBundle]:
    """What `new` adds to `old`; it may neither drop nor change a bundle, nor lower a floor."""
    for path, bundle in old.items():
        after = new.get(path)
        if after is None or (after.sha256, after.size_bytes) != (bundle.sha256, bundle.size_bytes):
            problem = f"{path} is published already, and the new targets drop it or hold other bytes"
            raise FleetError(problem, remedy="give the new bundle a new version; revoke the old one")
    after_floors = floors(new)
    for model, floor in floors(old).items():
        if after_floors[model] < floor:
            raise TrustError(
                f"the floor of {model} is {floor} and cannot be lowered", remedy="publish a higher version"
            )
    return {path: bundle for path, bundle in new.items() if path not in old}


def _check_deltas(old: dict[str, SignedDelta], new: dict[str, SignedDelta]) -> None:
    """A difference may go, but not become another one: devices may be in the middle of it."""
    for path, delta in new.items():
        if path in old and old[path].sha256 != delta.sha256:
            raise FleetError(f"{path} is published already, with other bytes", remedy="publish a new version")


def _signed_delta(path: str, target: TargetFile) -> SignedDelta:
    remedy = "publish with `edge fleet publish` of the service's release"
    try:
        custom = msgspec.convert(target.custom, DeltaCustom)
    except msgspec.ValidationError as exc:
        raise TrustError(f"{path}: unreadable custom data: {exc}", remedy=remedy) from exc
    sha256 = target.hashes.get("sha256", "")
    named = delta_path(custom.model, custom.from_version, custom.version)
    if not is_delta_path(path) or path != named or not _SHA256.fullmatch(sha256):
        raise TrustError(f"{path} is signed as {named}", remedy=remedy)
    return SignedDelta(path, sha256, target.length, custom)


def _signed_bundle(path: str, target: TargetFile) -> SignedBundle:
    remedy = "publish with `edge fleet publish` of the service's release"
    try:
        custom = msgspec.convert(target.custom, Custom)
    except msgspec.ValidationError as exc:
        raise TrustError(f"{path}: unreadable custom data: {exc}", remedy=remedy) from exc
    sha256 = target.hashes.get("sha256", "")
    named = is_target_path(path) and path == target_path(custom.model, custom.version)
    if not named or not re.fullmatch("[0-9a-f]{64}", sha256):
        raise TrustError(f"{path} does not fit what is signed about it", remedy=remedy)
    return SignedBundle(path, sha256, target.length, custom)


def _version_of(path: Path) -> int:
    number = path.name.split(".", 1)[0]
    return int(number) if number.isdecimal() else 0


def _after(now: datetime.datetime, days: int) -> datetime.datetime:
    return (now + datetime.timedelta(days=days)).replace(microsecond=0)
