"""The uplink process: records and news in; telemetry, reports and updates out.

Started as `python -m edge_agent.uplink.process SPEC`. MAIN PATH: `Uplink.run`. One thread reads, adds up, stores and
sends; the update and paho have threads of their own and speak to it through queues. The process may be killed at any
moment, and goes on from the journal and the outbox.
"""

import contextlib
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from queue import Empty, SimpleQueue

import msgspec
import numpy as np

import edge
from edge.enrolment import Enrolment, read_enrolment
from edge.errors import AgentError, EdgeError
from edge.messages import (
    Ack,
    Body,
    Desired,
    EventRow,
    ModelReport,
    Reported,
    UpdateStatus,
    WindowRow,
    scores_to_compare,
)
from edge_agent.control import Fault, Health
from edge_agent.records import RECORD_BYTES, Decided, unpack
from edge_agent.status import kept_folder
from edge_agent.update.inspect_child import Inspection
from edge_agent.update.journal import Entry
from edge_agent.uplink.line import Connected, Disconnected, FleetLine, Heard, Unreadable
from edge_agent.uplink.minutes import Minutes
from edge_agent.uplink.outbox import Stamp
from edge_agent.uplink.outboxes import Outboxes
from edge_agent.uplink.pictures import Pictures
from edge_agent.uplink.place import open_outbox
from edge_agent.uplink.seat import SupervisorSeat
from edge_agent.uplink.spec import UplinkSpec, UplinkStatus, status_path
from edge_agent.uplink.updates import Updates
from edge_agent.uplink.windows import Windows
from edge_agent.watch.drift import DriftWatch

LOOK_MS = 200
READ_BYTES = RECORD_BYTES * 512


class Uplink:
    """One device's line home."""

    def __init__(self, spec: UplinkSpec) -> None:
        self._spec = spec
        self._boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self._enrolment: Enrolment | None = read_enrolment(Path(spec.enrol)) if spec.enrol else None
        self._control = socket.socket(fileno=spec.control_fd)
        os.set_blocking(spec.records_fd, False)
        self._wake_out, self._wake_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._windows = Windows(spec.model, spec.actions)
        self._windows.know_epoch(spec.epoch, spec.version)
        self._windows.know_labels(spec.version, spec.labels)
        self._minutes = Minutes(spec.model)
        self._seat = SupervisorSeat(
            self._control,
            version=spec.version,
            probation_s=spec.probation_s,
            quiet_s=spec.quiet_s,
            on_health=self._on_health,
            on_fault=self._on_fault,
            on_notice=lambda notice: self._event(notice.kind, notice.text, self._seat.version()),
        )
        self._told: SimpleQueue[Entry | Inspection | str] = SimpleQueue()
        self._outbox: Outboxes | None = None
        self._line: FleetLine | None = None
        if self._enrolment is not None:
            self._outbox, starts = open_outbox(Path(spec.state_dir), most_rows=spec.outbox_rows, keeping=spec.outbox)
            self._line = FleetLine(self._enrolment, boot_id=self._boot_id, starts=starts, wake=self._wake)
            kept = kept_folder(Path(spec.state_dir))
            self._line.on_command = Pictures(kept, self._line, spec.pictures, tell=self._tell_of_pictures).heard
        self._updates = Updates(spec, self._enrolment, self._line, seat=self._seat, tell=self._tell)
        self._known: dict[int, Inspection] = {}
        self._drift, self._drift_version = DriftWatch((), limit=spec.drift_limit), 0
        self._rows: list[Body] = []
        self._left = b""
        self._stop = False

    def run(self) -> None:
        """Work until told to stop, or until the supervisor is gone."""
        if self._spec.boot_reason:
            self._event("boot", self._spec.boot_reason, self._spec.version)
        self._updates.start()
        if self._line is not None:
            self._line.open()
        due_s = time.monotonic() + self._spec.window_s
        while not self._stop:
            self._look()
            self._hear_fleet()
            self._hear_update()
            now_s = time.monotonic()
            if now_s >= due_s:
                self._close_window(now_s - due_s + self._spec.window_s)
                due_s = now_s + self._spec.window_s
        if self._outbox is not None:
            self._hear_update()
            self._outbox.put(self._rows, self._stamp())  # events of the window that is not over
            self._outbox.spill()
        if self._line is not None:
            self._line.close()

    def stop(self) -> None:
        """End `run` soon; from a signal handler."""
        self._stop = True
        self._wake()

    # --- what comes in ---------------------------------------------------------------------------

    def _look(self) -> None:
        """Wait a moment for records, for the supervisor or for another thread."""
        poll = select.poll()
        for fd in (self._spec.records_fd, self._control.fileno(), self._wake_out):
            poll.register(fd, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(LOOK_MS)}
        if self._wake_out in ready:
            os.read(self._wake_out, 4096)
        if self._control.fileno() in ready and not self._seat.receive():
            self._stop = True
        if self._spec.records_fd in ready:
            self._read_records()
        self._seat.looked()

    def _read_records(self) -> None:
        try:
            data = self._left + os.read(self._spec.records_fd, READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            time.sleep(LOOK_MS / 1000)  # nobody holds the other end: the supervisor is about to go, or to start anew
        whole = len(data) // RECORD_BYTES * RECORD_BYTES
        self._left = data[whole:]
        decided: dict[int, int] = {}
        for at in range(0, whole, RECORD_BYTES):
            record = unpack(data[at : at + RECORD_BYTES])
            self._windows.add(record)
            if isinstance(record, Decided):
                decided[record.epoch] = decided.get(record.epoch, 0) + 1
        for epoch, number in decided.items():
            self._seat.decided(self._windows.version_of(epoch), number)

    def _on_health(self, health: Health) -> None:
        self._windows.know_epoch(health.epoch, health.version)
        if health.machine is not None:
            self._minutes.look(health.machine, heat=health.heat)

    def _on_fault(self, fault: Fault) -> None:
        text = f"{fault.process} was started again ({fault.restarts}): {fault.reason}"
        self._event("fault", text, self._seat.version())

    def _hear_fleet(self) -> None:
        if self._line is None:
            return
        while True:
            try:
                self._take(self._line.inbox.get_nowait())
            except Empty:
                break
        self._send()

    def _take(self, heard: Heard) -> None:
        match heard:
            case Desired():
                if wish := heard.models.get(self._spec.model):
                    self._updates.wish(wish)
            case Ack() if self._outbox is not None:
                self._outbox.acknowledge(heard)
            case Disconnected() if self._outbox is not None:
                self._outbox.line_lost()
            case Unreadable():
                self._event("message", heard.problem)
            case Connected():
                self._report()
            case _:
                pass

    def _hear_update(self) -> None:
        while True:
            try:
                told = self._told.get_nowait()
            except Empty:
                return
            if isinstance(told, Inspection):
                self._known[told.version] = told
                self._windows.know_labels(told.version, told.labels)
                self._windows.know_edges(told.version, told.score_edges)
            elif isinstance(told, str):
                self._event("pictures", told, self._seat.version())
            else:
                self._on_step(told)

    def _on_step(self, entry: Entry) -> None:
        """One transition of an update: told at once, and kept in the outbox in case nobody listens."""
        if self._line is not None:
            status = UpdateStatus(
                model=self._spec.model, version=entry.attempted, state=entry.state, reason=entry.reason
            )
            self._line.tell(status)
        self._event("update", f"{entry.state} {entry.reason}".strip(), entry.attempted)
        self._report()

    # --- what goes out ---------------------------------------------------------------------------

    def _close_window(self, span_s: float) -> None:
        """Once a second: add up, store, send, report."""
        if not self._updates.alive:
            raise AgentError("the update's thread has ended", remedy="see the error above; the agent starts it again")
        windows, decisions = self._windows.close(span_s)
        self._watch_drift([row for row in windows if row.decisions])
        windows = self._minutes.close(windows, version=self._seat.version(), span_s=span_s, wall_s=time.time())
        rows, self._rows = [*windows, *decisions, *self._rows], []
        if self._outbox is not None:
            self._outbox.put(rows, self._stamp())
        self._send()
        self._report()
        self._write_status()

    def _watch_drift(self, windows: list[WindowRow]) -> None:
        deciding = self._seat.version()
        if deciding != self._drift_version and deciding in self._known:
            self._drift = DriftWatch(self._known[deciding].scores, limit=self._spec.drift_limit)
            self._drift_version = deciding
        for row in windows:
            if row.version != self._drift_version:
                continue
            counts = scores_to_compare(row.model_scores, row.scores, edges=self._known[row.version].score_edges)
            if self._drift.add(np.asarray(counts)):
                text = f"the scores have shifted: PSI {self._drift.value:.2f}, limit {self._spec.drift_limit:g}"
                self._event("drift", text, row.version)

    def _send(self) -> None:
        if self._line is not None and self._outbox is not None and self._line.connected:
            for batch in self._outbox.batches():
                self._line.send(batch)

    def _report(self) -> None:
        if self._line is None:
            return
        entry = self._updates.entry
        report = ModelReport(
            version=self._seat.version(), state=entry.state, attempted=entry.attempted, reason=entry.reason
        )
        models = {self._spec.model: report}
        self._line.report(Reported(models=models, target=self._spec.target, agent=edge.__version__))

    def _event(self, kind: str, text: str, version: int = 0) -> None:
        self._rows.append(EventRow(kind=kind, text=text[:1900], model=self._spec.model, version=version))

    def _stamp(self) -> Stamp:
        return Stamp(max(0, time.time_ns()), time.monotonic_ns(), self._boot_id, self._updates.clock_ok())

    def _write_status(self) -> None:
        entry, outbox = self._updates.entry, self._outbox
        status = UplinkStatus(
            wall_ns=time.time_ns(),
            model=self._spec.model,
            version=self._seat.version(),
            state=entry.state,
            attempted=entry.attempted,
            reason=entry.reason,
            fleet=self._enrolment.mqtt_url if self._enrolment else "",
            connected=self._line is not None and self._line.connected,
            outbox_rows=outbox.waiting if outbox else 0,
            outbox_dropped=outbox.dropped if outbox else 0,
            drift=self._drift.value,
            clock_ok=self._updates.clock_ok(),
        )
        path = status_path(self._spec.state_dir)
        fresh = path.with_name(path.name + ".new")
        with contextlib.suppress(OSError):  # a status that cannot be written must not stop telemetry
            path.parent.mkdir(exist_ok=True)
            fresh.write_bytes(msgspec.json.encode(status))
            fresh.replace(path)

    # --- other threads ---------------------------------------------------------------------------

    def _tell(self, told: Entry | Inspection) -> None:
        self._told.put(told)
        self._wake()

    def _tell_of_pictures(self, text: str) -> None:
        self._told.put(text)
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # many calls wait already: one more changes nothing
            os.write(self._wake_in, b".")


def main() -> None:
    """Run until SIGTERM or the end of the supervisor."""
    spec = msgspec.json.decode(sys.argv[1], type=UplinkSpec)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the supervisor decides what it means
    try:
        uplink = Uplink(spec)
        signal.signal(signal.SIGTERM, lambda _number, _frame: uplink.stop())
        uplink.run()
    except EdgeError as exc:
        sys.stderr.write(f"edge uplink: {exc}\n")
        raise SystemExit(exc.exit_code) from exc


if __name__ == "__main__":
    main()
