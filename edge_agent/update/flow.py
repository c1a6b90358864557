"""Carry an update through: journal the state, tell the fleet, do its work, decide what comes next.

MAIN PATH: `Flow.run`. Each state's work can be done again after a power cut. The old version decides until SWITCHED.
"""

import random
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edge.errors import DiskFullError, TrustError
from edge.messages import UpdateState, Wish
from edge_agent.control import Done
from edge_agent.disk import Disk
from edge_agent.update.delta import apply_delta
from edge_agent.update.download import Download
from edge_agent.update.folder_remote import FolderRemote
from edge_agent.update.inspect_child import Inspection
from edge_agent.update.journal import RESTING, BundleRecord, DeltaRecord, Entry, Journal
from edge_agent.update.refusal import WAITING, code_of, refusal
from edge_agent.update.remote import Remote
from edge_agent.update.slots import Slots
from edge_agent.update.steps import Event, LocalWish, decide, is_news, take_up

LONGEST_PAUSE_S = 60.0
LOOK_S = 1.0
"""So often a person's wishes are looked for."""


class Seat(Protocol):
    """Where a model decides: the supervisor and its loops, as the update sees them."""

    def version(self) -> int:
        """Version that decides now; 0 when none does."""

    def stage(self, path: Path, model: str, version: int) -> Done:
        """Load and check a bundle in the standby loop."""

    def switch(self) -> Done:
        """Let the staged version decide."""

    def revert(self, reason: str) -> Done:
        """Let the version before decide again."""

    def retire(self) -> Done:
        """End the loop that does not decide."""

    def probation(self, version: int) -> str:
        """Watch a version decide. Returns when it has passed (empty) or failed (a sentence)."""


class Finder(Protocol):
    """Says what may be installed: `edge_agent.update.trust.Trust`."""

    def find(
        self, model: str, version: int, *, target: str, agent: str, folder: Remote | None, have: Collection[str]
    ) -> BundleRecord:
        """Return the signed description of a version, or raise TrustError.

        `folder`: what a person brought; `have`: hashes of bundles that are here, to come from.
        """


@dataclass(frozen=True, slots=True)
class Settings:
    """What the configuration says about updates."""

    model: str
    target: str
    agent: str
    margin_bytes: int
    block_bytes: int
    p95_limit_ms: float = 0.0
    """0: no limit."""
    first_pause_s: float = 1.0
    """Before the second attempt; it doubles up to a minute."""


class Flow:
    """The updates of one model, one after the other."""

    def __init__(
        self,
        settings: Settings,
        *,
        disk: Disk,
        journal: Journal,
        trust: Finder,
        remote: Remote,
        seat: Seat,
        inspect: Callable[[Path], Inspection],
        tell: Callable[[Entry], None],
        look: Callable[[], LocalWish | None] | None = None,
    ) -> None:
        """`tell` hears of each entry after it is journalled; `look` is asked for what a person at the device wishes.

        Both are called from the thread that runs the flow.
        """
        self._settings, self._disk, self._journal = settings, disk, journal
        self._slots = Slots(disk, journal.folder)
        self._trust, self._remote, self._seat, self._inspect, self._tell = trust, remote, seat, inspect, tell
        self._look = look
        self._wish: Wish | None = None
        self._local: LocalWish | None = None
        self._wished = threading.Condition()
        self._download: Download | None = None
        self._attempts, self._tested = 0, False
        """How often this update had to wait; whether the standby loop holds the new version."""
        self._work: dict[UpdateState, Callable[[Entry, BundleRecord], Event]] = {
            "PRECHECK": self._precheck,
            "DOWNLOADING": self._fetch,
            "VERIFYING": self._verify,
            "STAGED": self._put,
            "SELFTEST": self._test,
            "SWITCHED": self._switch,
            "PROBATION": self._watch,
        }

    @property
    def entry(self) -> Entry:
        """Where the update stands."""
        return self._journal.entry

    def wish(self, wish: Wish) -> None:
        """Hear what the fleet wants, from any thread; the highest order counts, after the running update has ended."""
        with self._wished:
            if self._wish is None or wish.order >= self._wish.order:  # a retained one may come late, and again
                self._wish = wish
            self._wished.notify()

    def run_for_ever(self) -> None:
        """Finish what was begun before this process started, then wait for wishes."""
        self.run()
        while True:
            self.take(self._next())

    def take(self, wish: Wish) -> None:
        """Carry out one wish, if it is news."""
        if is_news(self.entry, wish):
            self._go(take_up(self.entry, wish))
        self.run()

    def _next(self) -> Wish:
        """Wait until the fleet, or a person at the device, wishes something new."""
        while True:
            self._look_around()
            if (local := self._local) is not None:
                self._local = None
                return local
            with self._wished:
                if self._wish is None or not is_news(self.entry, self._wish):
                    self._wish = None
                    self._wished.wait(LOOK_S if self._look else None)
                if self._wish is not None and is_news(self.entry, self._wish):
                    return self._wish

    def _look_around(self) -> None:
        if self._look is not None and self._local is None:
            self._local = self._look()

    def run(self) -> None:
        """Go from the journalled state to one that rests."""
        while self.entry.state not in RESTING:
            event = self._done(self.entry)
            before = self.entry
            self._go(decide(before, event))
            if event.what == "whole":
                self._begin_whole()
            if event.what == "wait":
                self._pause(before)
        self._come_to_rest()

    # --- one step --------------------------------------------------------------------------------

    def _go(self, entry: Entry) -> None:
        if entry != self._journal.entry:
            self._journal.write(entry)
            self._tell(entry)

    def _done(self, entry: Entry) -> Event:
        """Do the work of the state; trouble becomes an event, never an exception."""
        try:
            if entry.state == "OFFERED":
                return self._offer(entry)
            if entry.incoming is None:
                return Event("refused", f"SLOT_DAMAGED: the journal has lost version {entry.attempted}")
            return self._work[entry.state](entry, entry.incoming)
        except DiskFullError as exc:
            self._slots.clear()
            return Event("refused", f"DISK_FULL: {exc.problem}")
        except TrustError as exc:
            return Event("wait" if code_of(exc.problem) in WAITING else "refused", exc.problem)

    def _begin_whole(self) -> None:
        """The journal says so: nothing of the difference is used."""
        self._download = None
        if self.entry.incoming is not None:
            self._slots.clear(keep=self.entry.incoming)
            self._disk.unlink(self._slots.part(self.entry.incoming))

    def _pause(self, entry: Entry) -> None:
        """Wait before the next attempt, longer each time; a newer wish takes the place of one that cannot go on."""
        self._attempts += 1
        pause_s = min(LONGEST_PAUSE_S, self._settings.first_pause_s * 2 ** min(self._attempts, 10))
        until_s = time.monotonic() + pause_s * random.uniform(0.5, 1.0)
        while not (newer := self._newer(entry)) and (left_s := until_s - time.monotonic()) > 0:
            self._look_around()
            with self._wished:
                self._wished.wait_for(lambda: self._newer(entry), min(left_s, LOOK_S) if self._look else left_s)
        if newer:
            self._go(decide(self.entry, Event("refused", "SUPERSEDED: a newer order came while this one had to wait")))

    def _newer(self, entry: Entry) -> bool:
        return self._local is not None or (self._wish is not None and is_news(entry, self._wish))

    def _come_to_rest(self) -> None:
        """Free what the update held; all of it may be done twice, and is after a restart."""
        self._download, self._attempts, self._tested = None, 0, False
        self._slots.clear()
        if self.entry.state == "ROLLED_BACK" and self._seat.version() == self.entry.attempted != self.entry.running:
            self._seat.revert(self.entry.reason)
        elif self.entry.state != "IDLE":
            self._seat.retire()

    # --- the work of each state ------------------------------------------------------------------

    def _offer(self, entry: Entry) -> Event:
        settings = self._settings
        folder = FolderRemote(Path(entry.folder)) if entry.folder else None
        have = () if folder else [record.sha256 for record in (entry.a, entry.b) if record]  # a stick holds whole ones
        record = self._trust.find(
            settings.model, entry.attempted, target=settings.target, agent=settings.agent, folder=folder, have=have
        )
        return Event("good", record=record)

    def _precheck(self, entry: Entry, record: BundleRecord) -> Event:
        self._slots.clear(keep=record)
        if self._slots.holds(self._slots.path(entry.spare), record):
            return Event("here")
        free = self._disk.free_bytes(self._slots.folder)
        needed = 2 * record.size_bytes + self._settings.margin_bytes - (self._disk.size(self._slots.part(record)) or 0)
        if free < needed:
            return Event("refused", f"DISK_FULL: {free:,} bytes are free, {needed:,} are needed")
        return Event("good")

    def _fetch(self, entry: Entry, record: BundleRecord) -> Event:
        if record.delta is not None:
            return self._patch(entry, record, record.delta)
        if self._download is None:
            remote = FolderRemote(Path(entry.folder)) if entry.folder else self._remote
            part, block_bytes = self._slots.part(record), self._settings.block_bytes
            self._download = Download(self._disk, remote, record, part, block_bytes=block_bytes)
        self._download.attempt()
        return Event("good")

    def _patch(self, entry: Entry, record: BundleRecord, delta: DeltaRecord) -> Event:
        """Fetch a difference and apply it to the bundle that is here; on any failure all of it is fetched."""
        slots, block_bytes = self._slots, self._settings.block_bytes
        old = next((slots.path(name) for name in ("a", "b") if _is(entry.slot(name), delta.from_sha256)), None)
        if self._download is None:
            self._download = Download(self._disk, self._remote, delta, slots.part(delta), block_bytes=block_bytes)
        try:
            if old is None:
                return Event("whole", "SLOT_DAMAGED: the bundle that the difference starts from is gone")
            self._download.attempt()
            if not slots.holds(slots.part(delta), delta):
                raise refusal("HASH_MISMATCH", "the difference is not the one that was signed")
            step_bytes = max(1, block_bytes // 3)
            apply_delta(self._disk, old, slots.part(delta), slots.part(record), size_bytes=record.size_bytes,
                        step_bytes=step_bytes)  # fmt: skip
        except TrustError as exc:
            if code_of(exc.problem) in WAITING:
                raise
            return Event("whole", exc.problem)
        return Event("good")

    def _verify(self, entry: Entry, record: BundleRecord) -> Event:
        part = self._slots.part(record)
        path = part if self._disk.size(part) is not None else self._slots.path(entry.spare)
        if not self._slots.holds(path, record):
            return self._mismatch(part, record)
        found = self._inspect(path)
        if (found.name, found.version) != (self._settings.model, record.version):
            raise refusal("WRONG_MODEL", f"the bundle says that it is version {found.version} of {found.name}")
        if found.target != self._settings.target:
            raise refusal("WRONG_TARGET", f"the bundle is for {found.target}, this device is {self._settings.target}")
        return Event("good")

    def _mismatch(self, part: Path, record: BundleRecord) -> Event:
        """Bytes from before a power cut may be at fault, and are fetched again; fresh ones are the fleet's fault."""
        if record.delta is not None:
            self._disk.unlink(part)
            return Event("whole", "HASH_MISMATCH: what came out of the difference is not what was signed")
        whole = self._download is not None and not self._download.resumed
        self._disk.unlink(part)
        if whole:
            raise refusal("HASH_MISMATCH", "the bytes that came are not the ones that were signed")
        return Event("gone")

    def _put(self, entry: Entry, record: BundleRecord) -> Event:
        return Event("good" if self._slots.put(entry.spare, record) else "gone")

    def _test(self, entry: Entry, record: BundleRecord) -> Event:
        done = self._seat.stage(self._slots.path(entry.spare), self._settings.model, record.version)
        if not done.ok:
            return Event("refused", f"SELFTEST_FAILED: {done.reason}")
        p95_ms, limit_ms = done.p95_us / 1000, self._settings.p95_limit_ms
        if limit_ms and p95_ms > limit_ms:
            return Event("refused", f"SELFTEST_FAILED: 95 % of inferences take up to {p95_ms:.3g} ms, not {limit_ms:g}")
        self._tested = True
        return Event("good")

    def _switch(self, entry: Entry, record: BundleRecord) -> Event:
        if self._seat.version() == record.version:  # done before this process was started again
            return Event("good")
        if not self._tested and (again := self._test(entry, record)).what != "good":
            return again
        done = self._seat.switch()
        if done.ok and self._seat.version() == record.version:
            return Event("good")
        return Event("refused", f"SWITCH_FAILED: {done.reason or f'version {self._seat.version()} decides'}")

    def _watch(self, _entry: Entry, record: BundleRecord) -> Event:
        trouble = self._seat.probation(record.version)
        return Event("refused", f"PROBATION_FAILED: {trouble}") if trouble else Event("good")


def _is(record: BundleRecord | None, sha256: str) -> bool:
    return record is not None and record.sha256 == sha256
