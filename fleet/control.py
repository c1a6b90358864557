"""The control process: the only writer of DIR. MAIN PATH: `Control.tick`, once a second.

view of the fleet -> `fleet.rollout.step` (pure) -> rollout and orders kept in one transaction -> retained `desired`.
Killed anywhere, it publishes after its start what it had kept; what it had not kept, it decides again.
"""

import datetime
import threading
import time
from collections.abc import Callable, Collection, Iterable
from typing import Protocol

import msgspec

from edge.chunks import FORBIDDEN, PARTIAL, Chunk
from edge.enrolment import Enrolment
from edge.errors import DeviceAwayError, FileMissingError, FleetError
from edge.messages import Desired, PictureList
from fleet import rollout
from fleet.answers import (
    BundleStatus,
    DeviceStatus,
    FleetStatus,
    ModelStatus,
    RolloutRequest,
    TrustState,
    rollout_status,
)
from fleet.artifacts import Artifacts
from fleet.config import FleetFolder, target_path
from fleet.control_store import ControlStore
from fleet.deltas import shelve
from fleet.registry import Registry
from fleet.repository import Repository, floors, signed_deltas
from fleet.rollout_state import RolloutState
from fleet.views import DeviceView, FleetView, Order

RESIGN_S = SWEEP_S = 3600.0
TARGETS_WARNING_DAYS = 60
View = Callable[[RolloutState, float], FleetView]


class Announcer(Protocol):
    """Sends retained `desired`; the real one is MQTT, and what it could not send it sends when it connects again."""

    def announce(self, device: str, desired: Desired) -> None:
        """Publish what one device should run."""

    def confirm(self, enrolment: Enrolment) -> bool:
        """Wait until the broker accepts a new credential; False when it does not in good time."""


class Observer(Protocol):
    """What telemetry knows: the store behind it belongs to ingest, this side only reads."""

    def devices(self) -> Iterable[DeviceView]:
        """Every device that ever spoke."""

    def view(self, state: RolloutState, now_s: float) -> FleetView:
        """Everything one step of this rollout may look at."""


class Asker(Protocol):
    """Puts a question to one device and waits for its answer; see `fleet.questions`."""

    def list_pictures(self, device: str, newest: int) -> PictureList:
        """Which pictures it keeps."""

    def picture_piece(self, device: str, name: str, offset: int, size_bytes: int) -> Chunk:
        """A piece of one of them."""


class Urls(msgspec.Struct, frozen=True, kw_only=True):
    """Where devices find the service: goes into every enrolment."""

    mqtt_url: str
    http_url: str


class Control:
    """Everything the API can do; every public method may be called from any thread."""

    def __init__(
        self,
        folder: FleetFolder,
        *,
        store: ControlStore,
        registry: Registry,
        observer: Observer,
        announcer: Announcer,
        asker: Asker,
        urls: Urls,
    ) -> None:
        self.folder = folder
        self.config = folder.config()
        self.artifacts = Artifacts(folder)
        self.repository = Repository(folder.metadata, folder.online)
        self._store, self._registry, self._observer = store, registry, observer
        self._announcer, self._asker, self._urls = announcer, asker, urls
        self._lock = threading.RLock()
        self._resigned_s = self._swept_s = float("-inf")

    # --- the loop ------------------------------------------------------------------------------

    def tick(self, now_s: float) -> None:
        """Move every rollout on by one step, and keep the online signatures fresh."""
        if abs(now_s - self._resigned_s) >= RESIGN_S:
            with self._lock:
                self.repository.refresh(_utc(now_s))
            self._resigned_s = now_s
        with self._lock:
            active = [state.id for state in self._store.rollouts() if state.active]
        for rollout_id in active:
            self._step(rollout_id, now_s)
        if abs(now_s - self._swept_s) >= SWEEP_S:
            with self._lock:
                self._sweep(now_s)
                self._swept_s = now_s

    def _sweep(self, now_s: float) -> None:
        """Remove differences that were signed no more for long enough: targets first, files last."""
        noted = self._store.shelved()
        shelved = shelve(self.artifacts.deltas(), signed_deltas(self.repository.targets), noted, now_s)
        for path in shelved.due:
            self.artifacts.remove_delta(path)
        if shelved.since_s != noted:
            self._store.set_shelved(shelved.since_s)

    def announce_all(self) -> None:
        """Send every wish again: at the start, and whenever the broker was gone (it may have forgotten them)."""
        with self._lock:  # all the while: an older wish must not overtake a newer one
            for device, wanted in self._store.desired().items():
                self._announcer.announce(device, wanted)

    def _step(self, rollout_id: str, now_s: float) -> None:
        # telemetry is read without the lock, because it may take long; people may have acted meanwhile
        before = self._find(rollout_id)
        view = self._observer.view(before, now_s)
        with self._lock:
            if self._find(rollout_id) == before:
                self._keep(*rollout.step(before, view, now_s), before=before)

    def _keep(self, state: RolloutState, orders: Collection[Order], *, before: RolloutState | None) -> None:
        """Durable first, published second."""
        if state != before or orders:
            self._store.save(state, tuple(orders))
        for device, desired in self._store.desired(order.device for order in orders).items() if orders else ():
            self._announcer.announce(device, desired)

    # --- devices -------------------------------------------------------------------------------

    def enrol(self, device: str) -> Enrolment:
        """Admit a device or replace its credential."""
        with self._lock:
            password = self._registry.enrol(device)
        enrolment = Enrolment(
            tenant=self.config.tenant,
            device=device,
            mqtt_url=self._urls.mqtt_url,
            http_url=self._urls.http_url,
            username=device,
            password=password,
            ca_pem=(self.folder.tls / "ca.pem").read_text(),
            root_json=self.repository.first_root_json.decode(),
        )
        self._announcer.confirm(enrolment)
        return enrolment

    def pictures(self, device: str, newest: int) -> PictureList:
        """Ask a device which pictures it keeps, and wait for its answer."""
        self._refuse_strangers((device,))
        try:
            return self._asker.list_pictures(device, newest)
        except DeviceAwayError as exc:
            if any(view.id == device and view.online for view in self._observer.devices()):
                raise
            raise DeviceAwayError(f"{device} is offline", remedy=exc.remedy) from exc

    def picture_piece(self, device: str, name: str, offset: int, size_bytes: int) -> bytes:
        """Ask a device for a piece of a picture that it named. Raises: `FileMissingError` when it has it no more."""
        self._refuse_strangers((device,))
        piece = self._asker.picture_piece(device, name, offset, size_bytes)
        if piece.status == FORBIDDEN:
            raise FleetError(f"{device} sends no pictures any more", remedy="see capture_store in its configuration")
        if piece.status != PARTIAL:
            raise FileMissingError(f"{device} keeps no picture {name} any more", remedy="ask which ones it keeps now")
        return piece.data

    # --- trust ---------------------------------------------------------------------------------

    def trust_state(self) -> TrustState:
        """What a publisher signs on."""
        with self._lock:
            root, targets = self.repository.root_json, self.repository.targets_json
        return TrustState(root=root.decode(), targets=targets.decode())

    def publish(self, targets: bytes, now_s: float) -> None:
        """Put signed targets in force, and the uploaded bundles that they name in place."""
        with self._lock:
            added = self.repository.check(targets, _utc(now_s))
            for bundle in added.values():
                self.artifacts.place(bundle)
            self.artifacts.place_deltas(self.repository.new_deltas(targets))
            self.repository.commit(targets, _utc(now_s))
            # the next tick notes what is signed no more: a failure there fails no publish
            self._swept_s = float("-inf")

    # --- rollouts ------------------------------------------------------------------------------

    def start_rollout(self, request: RolloutRequest, now_s: float) -> RolloutState:
        """Begin to roll a published version out."""
        with self._lock:
            bundles = self.repository.bundles()
            bundle = bundles.get(target_path(request.model, request.version))
            if bundle is None:
                problem = f"version {request.version} of {request.model} is not published"
                raise FleetError(problem, remedy="edge fleet publish BUNDLE --keys KEYS")
            if request.version < floors(bundles)[request.model]:
                problem = f"version {request.version} of {request.model} is revoked"
                raise FleetError(problem, remedy="roll out a version that is not below the floor")
            self._refuse_strangers(request.devices)
            others = self._store.rollouts()
            drafted = rollout.draft(
                self._store.next_rollout(),
                request.model,
                request.version,
                target=bundle.custom.target,
                plan=request.plan,
                devices=request.devices,
                now_s=now_s,
            )
            state, orders = rollout.start(drafted, now_s, others=others)
            self._keep(state, orders, before=None)
            return state

    def rollouts(self) -> list[RolloutState]:
        """Every rollout, oldest first."""
        with self._lock:
            return self._store.rollouts()

    def rollout(self, rollout_id: str) -> RolloutState:
        """One rollout. Raises `FileMissingError`."""
        return self._find(rollout_id)

    def act(self, rollout_id: str, action: str, now_s: float) -> RolloutState:
        """pause, resume or abort."""
        with self._lock:
            before = self._find(rollout_id)
            if action == "pause":
                state, orders = rollout.pause(before, now_s)
            elif action == "resume":
                state, orders = rollout.resume(before, now_s)
            else:
                state, orders = rollout.abort(before, now_s)
            self._keep(state, orders, before=before)
            return state

    def _find(self, rollout_id: str) -> RolloutState:
        with self._lock:
            found, states = self._store.rollout(rollout_id), self._store.rollouts()
        if found is None:
            known = ", ".join(state.id for state in states[-10:]) or "none yet"
            raise FileMissingError(f"there is no rollout {rollout_id}", remedy=f"name one of these: {known}")
        return found

    def _refuse_strangers(self, devices: Collection[str]) -> None:
        with self._lock:
            strangers = sorted(set(devices) - set(self._registry.devices()))
        if strangers:
            raise FleetError(
                f"not enrolled: {', '.join(strangers[:5])}", remedy="edge fleet enrol DEVICE -o DEVICE.enrol"
            )

    # --- what people see -----------------------------------------------------------------------

    def status(self, now_s: float) -> FleetStatus:
        """The whole fleet at this moment."""
        views = {view.id: view for view in self._observer.devices()}
        with self._lock:
            names, wishes = self._registry.devices(), self._store.desired()
            rollouts, targets = self._store.rollouts(), self.repository.targets
            bundles = self.repository.bundles()
        left = targets.expires - _utc(now_s)
        expiring = f"the signed list of bundles expires in {left.days} days: publish or revoke something to renew it"
        return FleetStatus(
            tenant=self.config.tenant,
            devices=tuple(_device_status(name, views.get(name), wishes.get(name)) for name in names),
            rollouts=tuple(rollout_status(state) for state in rollouts),
            bundles=tuple(
                BundleStatus(
                    model=bundle.custom.model,
                    version=bundle.custom.version,
                    target=bundle.custom.target,
                    sha256=bundle.sha256,
                    size_bytes=bundle.size_bytes,
                    min_agent=bundle.custom.min_agent,
                    revoked=bundle.custom.version < floors(bundles)[bundle.custom.model],
                    report=(self.folder.reports / f"{bundle.custom.model}-{bundle.custom.version}").is_dir(),
                )
                for bundle in bundles.values()
            ),
            warnings=(expiring,) if left.days < TARGETS_WARNING_DAYS else (),
        )


def run_loop(
    control: Control, stop: threading.Event, failed: Callable[[Exception], None], every_s: float = 1.0
) -> None:
    """Tick until `stop`. A failing tick is told to `failed` and tried again: a full disk passes."""
    while not stop.is_set():
        try:
            control.tick(time.time())
        except Exception as exc:  # noqa: BLE001  # the loop must outlive whatever one step meets; `failed` logs it
            failed(exc)
        stop.wait(every_s)


def _device_status(name: str, view: DeviceView | None, desired: Desired | None) -> DeviceStatus:
    wanted = {model: wish.version for model, wish in desired.models.items()} if desired else {}
    reports = dict(view.models) if view else {}
    models = {
        model: ModelStatus(
            version=report.version,
            state=report.state,
            attempted=report.attempted,
            reason=report.reason,
            wanted=wanted.get(model, 0),
        )
        for model, report in reports.items()
    }
    for model in wanted.keys() - reports.keys():
        models[model] = ModelStatus(version=0, state="IDLE", wanted=wanted[model])
    if view is None:
        return DeviceStatus(id=name, online=False, models=models)
    seen_s = view.seen_ns / 1e9
    return DeviceStatus(id=name, online=view.online, models=models, seen_s=seen_s, target=view.target, agent=view.agent)


def _utc(now_s: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(now_s, datetime.UTC)
