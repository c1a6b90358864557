"""The publisher's side of TUF: check what the service says is in force, add to it, sign. Needs the `--keys` folder."""

import datetime
import fcntl
import hashlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from tuf.api.metadata import Metadata, Root, TargetFile, Targets

from edge.errors import FileMissingError, FleetError, TrustError
from fleet.config import delta_path, target_path, write_private
from fleet.deltas import NewDelta, sources, stale
from fleet.keys import Signed, load_key
from fleet.repository import (
    TARGETS_DAYS,
    Custom,
    DeltaCustom,
    SignedBundle,
    floors,
    parse,
    signed_bundles,
    signed_deltas,
    to_bytes,
    verify_targets,
)


@dataclass(frozen=True, slots=True)
class NewBundle:
    """A bundle to publish, as opened and hashed on the caller's side."""

    model: str
    version: int
    target: str
    sha256: str
    size_bytes: int
    min_agent: str
    deltas: tuple[NewDelta, ...] = ()
    """Shorter ways to it."""


class Publisher:
    """Signs with KEYS/targets.pem; believes KEYS/root.json and remembers what it signed last (KEYS/signed.json)."""

    def __init__(self, keys: Path) -> None:
        self.keys = keys
        self._signer = load_key(keys / "targets.pem")
        self._root = parse(Root, _read(keys / "root.json")).signed

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One signer at a time on these keys; two machines with copies meet at the service's version check."""
        with (self.keys / "signed.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def open(self, current: bytes) -> Metadata[Targets]:
        """Check the targets that the service says are in force; raises `TrustError`.

        A service that offers older targets than these keys once signed would have them signed away: versions lost,
        floors lowered.
        """
        metadata = parse(Targets, current)
        verify_targets(self._root, metadata)
        last = self._last()
        if metadata.signed.version < last.version or (
            metadata.signed.version == last.version and hashlib.sha256(current).hexdigest() != last.sha256
        ):
            problem = f"the service offers targets {metadata.signed.version}, these keys signed {last.version} later"
            raise TrustError(
                problem, remedy="restore the service from a newer backup; somebody may have turned it back"
            )
        return metadata

    def add(
        self,
        current: bytes,
        bundle: NewBundle,
        now: datetime.datetime,
        pending: Collection[tuple[str, int]] = (),
    ) -> bytes | None:
        """New targets with `bundle` in them, signed; None when it is there already.

        Differences that are for nobody any more are left out; `pending`: see `fleet.deltas.stale`.
        """
        metadata = self.open(current)
        known, path = signed_bundles(metadata.signed), target_path(bundle.model, bundle.version)
        if path in known:
            if known[path].sha256 == bundle.sha256:
                return None
            problem = f"version {bundle.version} of {bundle.model} is published already, with other bytes"
            raise FleetError(problem, remedy="compile the bundle again under a new version")
        floor = floors(known).get(bundle.model, 0)
        if bundle.version < floor:
            problem = f"version {bundle.version} of {bundle.model} is below its floor {floor}: no device would take it"
            raise FleetError(problem, remedy="compile the bundle again under a higher version")
        custom = Custom(
            model=bundle.model, version=bundle.version, target=bundle.target, min_agent=bundle.min_agent, floor=floor
        )
        metadata.signed.targets[path] = TargetFile(
            bundle.size_bytes, {"sha256": bundle.sha256}, path, {"custom": msgspec.to_builtins(custom)}
        )
        for delta in bundle.deltas:
            _add_delta(metadata.signed, bundle, delta, custom)
        _leave_out(metadata.signed, pending)
        return self._sign(metadata, now)

    def sources(self, current: bytes, bundle: NewBundle) -> tuple[SignedBundle, ...]:
        """The published versions that devices will come from."""
        known = signed_bundles(self.open(current).signed).values()
        return sources(known, bundle.model, bundle.version, bundle.target)

    def revoke(
        self,
        current: bytes,
        model: str,
        below: int,
        now: datetime.datetime,
        pending: Collection[tuple[str, int]] = (),
    ) -> bytes | None:
        """New targets in which no version of `model` under `below` may be installed; None when that holds already."""
        metadata = self.open(current)
        known = {path: item for path, item in signed_bundles(metadata.signed).items() if item.custom.model == model}
        if not known:
            raise FleetError(f"no version of {model} is published", remedy="see `edge fleet status` for the models")
        if floors(known)[model] >= below:
            return None
        for path, item in known.items():
            custom = msgspec.structs.replace(item.custom, floor=below)
            metadata.signed.targets[path].unrecognized_fields["custom"] = msgspec.to_builtins(custom)
        _leave_out(metadata.signed, pending)
        return self._sign(metadata, now)

    def remember(self, data: bytes) -> None:
        """The service took `data`: never sign on something older again."""
        record = Signed(version=parse(Targets, data).signed.version, sha256=hashlib.sha256(data).hexdigest())
        if record.version > self._last().version:
            write_private(self.keys / "signed.json", msgspec.json.encode(record))

    def _sign(self, metadata: Metadata[Targets], now: datetime.datetime) -> bytes:
        metadata.signed.version += 1
        metadata.signed.expires = (now + datetime.timedelta(days=TARGETS_DAYS)).replace(microsecond=0)
        metadata.sign(self._signer)
        data = to_bytes(metadata)
        try:
            verify_targets(self._root, metadata)
        except TrustError as exc:
            problem = f"{self.keys / 'targets.pem'} is not the key that the fleet's root names"
            raise TrustError(problem, remedy="name the keys folder of this fleet") from exc
        return data

    def _last(self) -> Signed:
        path = self.keys / "signed.json"
        return msgspec.json.decode(path.read_bytes(), type=Signed) if path.exists() else Signed(version=0, sha256="")


def _leave_out(targets: Targets, pending: Collection[tuple[str, int]]) -> None:
    """Sign no more what no device has a use for."""
    for path in stale(signed_bundles(targets), signed_deltas(targets), pending):
        del targets.targets[path]


def _add_delta(targets: Targets, bundle: NewBundle, delta: NewDelta, custom: Custom) -> None:
    path = delta_path(bundle.model, delta.from_version, bundle.version)
    about = DeltaCustom(
        **msgspec.structs.asdict(custom), from_version=delta.from_version, from_sha256=delta.from_sha256,
        to_sha256=bundle.sha256,
    )  # fmt: skip
    targets.targets[path] = TargetFile(
        len(delta.data), {"sha256": delta.sha256}, path, {"custom": msgspec.to_builtins(about)}
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        remedy = "name the folder that `edge fleet init DIR --keys KEYS` filled"
        raise FileMissingError(f"cannot read {path}: {exc.strerror}", remedy=remedy) from exc
