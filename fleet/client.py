"""The one client of the API: the commands, the dashboard and the demo all use it.

Signing happens here, on the caller's side: the service never sees the targets key.
"""

import dataclasses
import datetime
import random
import ssl
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import httpx
import msgspec

import edge.errors
from edge.enrolment import Enrolment
from edge.errors import EdgeError, FileMissingError, FleetError
from edge.kept import ASKED_PICTURES
from edge.messages import PictureList
from edge.topics import is_id
from fleet.answers import (
    EnrolRequest,
    FleetStatus,
    MovedOnError,
    PicturesRequest,
    PieceRequest,
    Problem,
    RolloutRequest,
    TrustState,
)
from fleet.config import FleetFolder
from fleet.plan import Plan
from fleet.ports import socket_address
from fleet.rollout_state import FINAL, RolloutState

if TYPE_CHECKING:
    from fleet.repository import SignedBundle
    from fleet.signing import NewBundle, Publisher

T = TypeVar("T")
Sign = Callable[[bytes], bytes | None]
_CHUNK_BYTES = 1 << 18
_TRIES = 50
"""Publishers that meet at the service take turns; this many lost races in a row mean that something is wrong."""


class FleetClient:
    """Talks to a running service: `FleetClient.local(DIR)`, or `FleetClient.remote(URL, token, ca)`."""

    def __init__(self, client: httpx.Client, where: str) -> None:
        self._client, self._where = client, where

    @classmethod
    def local(cls, folder: Path) -> Self:
        """Over the Unix socket of the fleet in `folder`."""
        fleet = FleetFolder(folder.resolve())
        fleet.config()  # says clearly when this is no fleet
        # no TLS on a socket of our own: reading the system's authorities would take longer than the request
        transport = httpx.HTTPTransport(uds=socket_address(fleet.socket), verify=False)
        return cls(httpx.Client(transport=transport, base_url="http://fleet", timeout=60), f"{fleet.root}")

    @classmethod
    def remote(cls, url: str, token: str, ca: Path | None = None) -> Self:
        """Over the network. `ca`: the fleet's CA certificate (KEYS/ca.pem); the system's authorities without it."""
        try:
            context = ssl.create_default_context(cafile=str(ca) if ca else None)
        except OSError as exc:
            raise FileMissingError(
                f"cannot read the CA {ca}: {exc}", remedy="name the ca.pem of the keys folder"
            ) from exc
        headers = {"Authorization": f"Bearer {token}"}
        return cls(httpx.Client(base_url=url, headers=headers, verify=context, timeout=60), url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    # --- reading -------------------------------------------------------------------------------

    def status(self) -> FleetStatus:
        """Devices, rollouts, bundles."""
        return self._ask("GET", "/api/status", FleetStatus)

    def rollout(self, rollout_id: str) -> RolloutState:
        """One rollout."""
        return self._ask("GET", f"/api/rollouts/{rollout_id}", RolloutState)

    def rollouts(self) -> tuple[RolloutState, ...]:
        """Every rollout, oldest first."""
        return self._ask("GET", "/api/rollouts", tuple[RolloutState, ...])

    # --- acting --------------------------------------------------------------------------------

    def enrol(self, device: str) -> Enrolment:
        """Admit a device, or replace its credential."""
        # checked by the service as well; here it would be no valid request at all
        return self._ask("POST", "/api/devices", Enrolment, _json({"device": device}, EnrolRequest))

    def pictures(self, device: str, newest: int) -> PictureList:
        """Ask a device which pictures it keeps. Raises: `DeviceAwayError`."""
        wanted = _json({"newest": newest}, PicturesRequest, f"ask for 1 to {ASKED_PICTURES} pictures")
        return self._ask("POST", f"/api/devices/{_id(device)}/pictures", PictureList, wanted)

    def picture_piece(self, device: str, name: str, offset: int, size_bytes: int) -> bytes:
        """Ask a device for a piece of a picture that it named. Raises: `DeviceAwayError`, `FileMissingError`."""
        wanted = msgspec.json.encode(PieceRequest(offset=offset, size_bytes=size_bytes))
        return self._fetch("POST", f"/api/devices/{_id(device)}/pictures/{name}", wanted).content

    def rollout_start(
        self, model: str, version: int, plan: Plan | None = None, devices: Collection[str] = ()
    ) -> RolloutState:
        """Roll a published version out."""
        wanted = RolloutRequest(model=model, version=version, plan=plan or Plan(), devices=tuple(devices))
        return self._ask("POST", "/api/rollouts", RolloutState, msgspec.json.encode(wanted))

    def rollout_pause(self, rollout_id: str) -> RolloutState:
        """Order nothing more until it is resumed."""
        return self._ask("POST", f"/api/rollouts/{rollout_id}/pause", RolloutState)

    def rollout_resume(self, rollout_id: str) -> RolloutState:
        """Go on."""
        return self._ask("POST", f"/api/rollouts/{rollout_id}/resume", RolloutState)

    def rollout_abort(self, rollout_id: str) -> RolloutState:
        """End it and go back."""
        return self._ask("POST", f"/api/rollouts/{rollout_id}/abort", RolloutState)

    def publish(
        self, bundle: Path, keys: Path, *, min_agent: str = "0", progress: Callable[[int, int], None] | None = None
    ) -> "NewBundle":
        """Sign a bundle with KEYS/targets.pem and publish it, with the report folder beside it if there is one.

        `min_agent`: lowest release of the agent that can run it. `progress`: called with (bytes sent, bytes in all).
        Publishing the same bytes again does nothing; two publishers at once take turns. Raises: FleetError, TrustError.
        """
        from edge.bundle import open_bundle
        from fleet.signing import NewBundle, Publisher

        opened = open_bundle(bundle)
        manifest = opened.manifest
        new = NewBundle(manifest.name, manifest.version, manifest.target, opened.sha256, opened.size_bytes, min_agent)
        publisher = Publisher(keys)
        with publisher.locked():
            if publisher.add(self._targets(), new, _now()) is None:
                return new
            self._upload(bundle, new, progress)
            new = self._with_deltas(publisher, bundle, new)
            self._send_report(bundle, new)
            pending = self._pending()
            self._sign_and_send(publisher, lambda current: publisher.add(current, new, _now(), pending))
        return new

    def revoke(self, model: str, below: int, keys: Path) -> None:
        """Raise the floor: no device installs a version of `model` under `below` any more."""
        from fleet.signing import Publisher

        publisher = Publisher(keys)
        with publisher.locked():
            pending = self._pending()
            self._sign_and_send(publisher, lambda current: publisher.revoke(current, model, below, _now(), pending))

    # --- inside --------------------------------------------------------------------------------

    def _sign_and_send(self, publisher: "Publisher", sign: Sign) -> None:
        """Read what is in force, sign on it, send; again from the start when somebody else was faster."""
        for attempt in range(_TRIES):
            targets = sign(self._targets())
            if targets is None:
                return
            try:
                self._ask("POST", "/api/targets", dict[str, str], targets)
            except MovedOnError:
                time.sleep(random.uniform(0, 0.02 * (attempt + 1)))
                continue
            publisher.remember(targets)
            return
        raise FleetError(f"{_TRIES} others published at the same time", remedy="try again")

    def _pending(self) -> frozenset[tuple[str, int]]:
        """Versions, by model, that were ordered and do not run yet: of rollouts that go on, and of single devices."""
        status = self.status()
        ordered = {(one.model, one.version) for one in status.rollouts if one.state not in FINAL}
        return frozenset(ordered).union(
            (model, said.wanted)
            for device in status.devices
            for model, said in device.models.items()
            if said.wanted not in (0, said.version)
        )

    def _targets(self) -> bytes:
        return self._ask("GET", "/api/metadata", TrustState).targets.encode()

    def _upload(self, bundle: Path, new: "NewBundle", progress: Callable[[int, int], None] | None) -> None:
        chunks = _read_chunks(bundle, new.size_bytes, progress)
        self._ask("PUT", f"/api/bundles/{new.sha256}", dict[str, str], chunks)

    def _with_deltas(self, publisher: "Publisher", bundle: Path, new: "NewBundle") -> "NewBundle":
        """Make the shorter ways to `new`, and upload them."""
        from fleet.deltas import make_deltas

        before = publisher.sources(self._targets(), new)
        deltas = make_deltas(bundle.read_bytes(), before, self._read_bundle) if before else []
        for delta in deltas:
            self._ask("PUT", f"/api/deltas/{delta.sha256}", dict[str, str], delta.data)
        return dataclasses.replace(new, deltas=tuple(deltas))

    def _read_bundle(self, item: "SignedBundle") -> bytes:
        return self._fetch("GET", f"/api/bundles/{item.custom.model}/{item.custom.version}").content

    def _send_report(self, bundle: Path, new: "NewBundle") -> None:
        """Send the files of NAME-VERSION.report/; they are for people, so a folder in it is left out."""
        folder = bundle.with_suffix(".report")
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if path.is_file():
                data = _read_chunks(path, path.stat().st_size, None)
                self._ask("PUT", f"/api/reports/{new.model}/{new.version}/{path.name}", dict[str, str], data)

    def _ask(self, method: str, path: str, kind: type[T], content: bytes | Iterator[bytes] | None = None) -> T:
        return _decode(self._fetch(method, path, content).content, kind)

    def _fetch(self, method: str, path: str, content: bytes | Iterator[bytes] | None = None) -> httpx.Response:
        try:
            response = self._client.request(method, path, content=content)
        except httpx.TransportError as exc:
            remedy = "start it with `edge fleet serve DIR`, or check the URL"
            raise FleetError(f"no fleet service answers at {self._where}: {exc}", remedy=remedy) from exc
        if response.is_success:
            return response
        raise _error(response)


def _error(response: httpx.Response) -> EdgeError:
    """The error that the service raised, as our own."""
    try:
        problem = msgspec.json.decode(response.content, type=Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return FleetError(
            f"the service answered {response.status_code}", remedy="check the URL, and that it is a fleet"
        )
    if response.status_code == httpx.codes.CONFLICT:
        return MovedOnError(problem.problem, remedy=problem.remedy)
    kind = getattr(edge.errors, problem.error, FleetError)
    if not (isinstance(kind, type) and issubclass(kind, EdgeError)):
        kind = FleetError
    return kind(problem.problem, remedy=problem.remedy)


def _decode(data: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise FleetError(f"unreadable answer: {exc}", remedy="run tools and service of one release") from exc


def _id(device: str) -> str:
    """A device's name, as part of a URL; raises `BadArgumentError`."""
    if not is_id(device):
        raise edge.errors.BadArgumentError(f"{device!r} can name no device", remedy="`edge fleet status` lists them")
    return device


def _json(value: object, kind: type[msgspec.Struct], remedy: str = "use letters, digits, - and _") -> bytes:
    """Encode a request, checked; raises `BadArgumentError`."""
    try:
        return msgspec.json.encode(msgspec.convert(value, kind))
    except msgspec.ValidationError as exc:
        raise edge.errors.BadArgumentError(f"not a valid request: {exc}", remedy=remedy) from exc


def _read_chunks(path: Path, size_bytes: int, progress: Callable[[int, int], None] | None) -> Iterator[bytes]:
    sent = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            sent += len(chunk)
            if progress:
                progress(sent, size_bytes)
            yield chunk


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
