"""The update's own thread: it may wait for the network and the supervisor without holding the telemetry up."""

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path

import edge
from edge.enrolment import Enrolment
from edge.errors import TrustError
from edge.messages import Wish
from edge_agent.disk import RealDisk
from edge_agent.update.chunk_remote import ChunkRemote
from edge_agent.update.flow import Flow, Seat, Settings
from edge_agent.update.folder_remote import FolderRemote
from edge_agent.update.inspect_child import Inspection, inspect
from edge_agent.update.journal import Entry, Journal
from edge_agent.update.local_orders import LocalOrders
from edge_agent.update.remote import HttpRemote, Remote
from edge_agent.update.route import Route
from edge_agent.update.trust import Trust
from edge_agent.uplink.line import FleetLine
from edge_agent.uplink.spec import UplinkSpec

MIB, KIB = 1 << 20, 1 << 10


class Updates:
    """Runs a `Flow` and tells of it; also looks into the bundle that runs already."""

    def __init__(
        self,
        spec: UplinkSpec,
        enrolment: Enrolment | None,
        line: FleetLine | None,
        *,
        seat: Seat,
        tell: Callable[[Entry | Inspection], None],
    ) -> None:
        """`tell` is called from the thread."""
        self._spec, self._tell = spec, tell
        disk, folder = RealDisk(), Path(spec.state_dir)
        self._journal = Journal(disk, folder, spec.model)
        self._trust: Trust | None = None
        self._flow: Flow | None = None
        if enrolment is not None and line is not None:
            remote = _remote(spec, enrolment, line)
            self._trust = trust = Trust(disk, folder / "trust.json", enrolment.root_json, remote)
            self._orders = LocalOrders(
                folder,
                Path(spec.folder) if spec.folder else None,
                entry=lambda: self._journal.entry,
                newest=lambda place: trust.newest(
                    spec.model, target=spec.target, agent=edge.__version__, folder=FolderRemote(place)
                ),
            )
            self._flow = Flow(
                _settings(spec),
                disk=disk,
                journal=self._journal,
                trust=self._trust,
                remote=remote,
                seat=seat,
                inspect=self._inspect,
                tell=self._on_step,
                look=self._orders.look,
            )
        self._thread = threading.Thread(target=self._run, name="update", daemon=True)

    @property
    def entry(self) -> Entry:
        """Where the last update stands."""
        return self._journal.entry

    @property
    def alive(self) -> bool:
        """Whether updates can go on; False only after a bug or a broken disk."""
        return self._flow is None or self._thread.is_alive()

    def clock_ok(self) -> bool:
        """Whether the wall clock can be right."""
        return self._trust is None or self._trust.clock_ok()

    def start(self) -> None:
        """Finish what an earlier process began, then wait for wishes."""
        self._thread.start()

    def wish(self, wish: Wish) -> None:
        """Hear what the fleet wants."""
        if self._flow is not None:
            self._flow.wish(wish)

    def _run(self) -> None:
        if self._spec.bundle:
            # it runs, so it was well when it was loaded: at worst its drift baseline is missing
            with contextlib.suppress(TrustError):
                self._inspect(Path(self._spec.bundle))
        if self._flow is not None:
            self._flow.run_for_ever()

    def _on_step(self, entry: Entry) -> None:
        self._tell(entry)
        self._orders.told(entry)

    def _inspect(self, path: Path) -> Inspection:
        found = inspect(path)
        self._tell(found)
        return found


def _remote(spec: UplinkSpec, enrolment: Enrolment, line: FleetLine) -> Remote:
    """The way to the fleet's files that the configuration asks for."""
    http = HttpRemote(enrolment, timeout_s=spec.read_timeout_s)
    if spec.transport == "http":
        return http
    chunks = ChunkRemote(line, ahead_bytes=spec.block_kib * KIB // 3, timeout_s=spec.read_timeout_s)
    line.on_chunk = chunks.heard
    return chunks if spec.transport == "mqtt" else Route(http, chunks, lambda: line.connected)


def _settings(spec: UplinkSpec) -> Settings:
    return Settings(
        model=spec.model,
        target=spec.target,
        agent=edge.__version__,
        margin_bytes=spec.disk_margin_mib * MIB,
        block_bytes=spec.block_kib * KIB,
        p95_limit_ms=spec.p95_limit_ms,
    )
