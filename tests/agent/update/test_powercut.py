"""Every prefix of what an update does to the disk is replayed as a power cut."""

import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge.messages import Wish
from edge_agent.control import Done
from edge_agent.power_cut import PowerCutDisk
from edge_agent.update.boot import choose_bundle
from edge_agent.update.flow import Flow, Settings
from edge_agent.update.inspect_child import Inspection
from edge_agent.update.journal import Entry, Journal
from edge_agent.update.trust import Kept, Trust

ROOT = Path("/")
STATE = ROOT / "state"
MODEL, BLOCK_BYTES = "light", 3072
V1, V2 = bytes(range(256)) * 50, bytes(reversed(range(256))) * 61 + b"tail"
STEPS = ["IDLE", "OFFERED", "PRECHECK", "DOWNLOADING", "VERIFYING", "STAGED", "SELFTEST", "SWITCHED", "PROBATION", "COMMITTED"]  # fmt: skip  # noqa: E501


class Chair:
    """A supervisor whose loops always do well."""

    def __init__(self, version: int) -> None:
        self.decides, self.staged = version, 0

    def version(self) -> int:
        return self.decides

    def stage(self, _path: Path, _model: str, version: int) -> Done:
        self.staged = version
        return Done(ok=True, p95_us=10.0)

    def switch(self) -> Done:
        self.decides = self.staged
        return Done(ok=True)

    def revert(self, reason: str) -> Done:
        raise AssertionError(reason)

    def retire(self) -> Done:
        return Done(ok=True)

    def probation(self, version: int) -> str:
        assert self.decides == version
        return ""


@dataclass
class Told:
    """What the device told the outside, each with the number of changes to the disk before it."""

    states: list[tuple[int, Entry]] = field(default_factory=list)
    trusted: list[tuple[int, int]] = field(default_factory=list)

    def state_by(self, changes: int) -> Entry:
        return next((entry for at, entry in reversed(self.states) if at <= changes), Entry())

    def trusted_by(self, changes: int) -> int:
        return next((number for at, number in reversed(self.trusted) if at <= changes), 0)


class ForgetfulDisk:
    """Passes everything on but the syncs of one call site; notes all sites that it sees."""

    def __init__(self, disk: PowerCutDisk, left_out: tuple[str, ...] | None = None) -> None:
        self._disk, self.left_out, self.sites = disk, left_out, list[tuple[str, ...]]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._disk, name)

    def sync_file(self, path: Path) -> None:
        if not self._is_left_out("file"):
            self._disk.sync_file(path)

    def sync_dir(self, folder: Path) -> None:
        if not self._is_left_out(str(folder)):
            self._disk.sync_dir(folder)

    def _is_left_out(self, what: str) -> bool:
        frame, site = sys._getframe(2), [what]
        while True:
            site.append(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}")
            if not frame.f_code.co_filename.endswith("disk.py") or frame.f_back is None:
                break
            frame = frame.f_back
        if (found := tuple(site)) not in self.sites:
            self.sites.append(found)
        return found == self.left_out


class Device:
    """One start of the agent on a disk: boot, then wishes."""

    def __init__(self, disk: Any, repository: Any, shelf: Any) -> None:
        self.disk, self.told = disk, Told()
        self.choice = choose_bundle(STATE, MODEL, disk=disk)
        trust = Trust(disk, STATE / "trust.json", repository.root_json, shelf)
        self.flow = Flow(
            Settings(MODEL, "x86-64", "0.1.0", margin_bytes=0, block_bytes=BLOCK_BYTES, first_pause_s=0.0),
            disk=disk, journal=Journal(disk, STATE, MODEL), trust=self, remote=shelf, seat=Chair(self.choice.version),
            inspect=self.inspect, tell=lambda entry: self.told.states.append((len(disk.changes), entry)),
        )  # fmt: skip
        self.trust = trust

    def find(self, *args: Any, **named: Any) -> Any:
        found = self.trust.find(*args, **named)
        self.told.trusted.append((len(self.disk.changes), trusted(self.disk)))
        return found

    def inspect(self, path: Path) -> Inspection:
        version = {V1: 1, V2: 2}[self.disk.read(path)]
        return Inspection(name=MODEL, version=version, target="x86-64")


def trusted(disk: PowerCutDisk) -> int:
    """Number of the newest timestamp that the disk remembers."""
    try:
        kept = msgspec.json.decode(disk.read(STATE / "trust.json"), type=Kept)
        return int(msgspec.json.decode(kept.files["timestamp.json"])["signed"]["version"])
    except (FileNotFoundError, msgspec.DecodeError, KeyError):
        return 0


@pytest.fixture
def published(repository: Any) -> Any:
    repository.publish(MODEL, 1, V1)
    repository.publish(MODEL, 2, V2)
    return repository


def record(repository: Any, shelf: Any, left_out: tuple[str, ...] | None = None) -> tuple[ForgetfulDisk, Told]:
    """From an empty disk: version 1 is installed, then version 2, whose download is cut off once."""
    disk = ForgetfulDisk(PowerCutDisk(ROOT, found={"/": None, str(STATE): None}), left_out)
    device = Device(disk, repository, shelf)
    device.flow.take(Wish(version=1, order=1))
    repository.sign()
    shelf.cut_after = 9000
    device.flow.take(Wish(version=2, order=2))
    assert device.flow.entry.running == 2
    return disk, device.told


def broken_promise(left: PowerCutDisk, told: Entry, seen: int) -> str:
    """What the disk after a cut has forgotten although it was told; empty if nothing."""
    probe = PowerCutDisk(ROOT, found=dict(left.content()))
    found = Journal(probe, STATE, MODEL).entry if str(STATE / "models") in dict(left.content()) else Entry()
    if (found.order, STEPS.index(found.state)) < (told.order, STEPS.index(told.state)):
        return f"the journal says {found.state}, {told.state} was told"
    if trusted(left) < seen:
        return f"metadata {trusted(left)} would be taken, {seen} was seen"
    choice = choose_bundle(STATE, MODEL, disk=probe)
    if told.running and (choice.path is None or probe.read(choice.path) not in (V1, V2)):
        return "no runnable model"
    if choice.path and probe.read(choice.path) != (V1, V2)[choice.version - 1]:
        return "the wrong bytes would run"
    if told.running == 2 and choice.version != 2:
        return "version 2 was committed, and is gone"
    return ""


def stored(disk: PowerCutDisk, after: int) -> int:
    """Most bytes of version 2's part that were ever written before the cut."""
    part = [c for c in disk.changes[:after] if c.kind == "write" and c.path.endswith(".part")]
    second = [c for c in part if c.path != part[0].path] if part else []
    return max((c.offset + len(c.data) for c in second), default=0)


def fails_to_finish(left: PowerCutDisk, repository: Any, shelf: Any, had: int) -> str:
    """Boot and go on to version 2; says what went wrong, or nothing."""
    shelf.sent.clear()
    device = Device(left, repository, shelf)
    device.flow.run()
    if device.flow.entry.running != 2:
        device.flow.take(Wish(version=2, order=2))
    slot = device.flow._slots.path(device.flow.entry.active or "a")
    if device.flow.entry.state != "COMMITTED" or left.read(slot) != V2:
        return f"ended in {device.flow.entry}"
    again = shelf.sent.get("artifacts/light/light-2.edge", 0) + had - len(V2)
    if had < len(V2) and again > BLOCK_BYTES - shelf.piece_bytes:  # less than a piece was on its way
        return f"fetched {again} bytes again"
    return ""


def cuts(disk: PowerCutDisk) -> Iterator[tuple[int, PowerCutDisk]]:
    return ((after, left) for after in range(len(disk.changes) + 1) for left in disk.crashes(after))


def violation(disk: PowerCutDisk, told: Told, repository: Any, shelf: Any) -> str:
    """The first thing that goes wrong after any cut; empty if nothing does."""
    for after, left in cuts(disk):
        if problem := broken_promise(left, told.state_by(after), told.trusted_by(after)):
            return problem
    for after, left in cuts(disk):
        if problem := fails_to_finish(left, repository, shelf, stored(disk, after)):
            return problem
    return ""


def test_after_a_power_cut_at_any_point_a_verified_model_runs_and_the_update_completes(
    published: Any, shelf: Any
) -> None:
    disk, told = record(published, shelf)
    count = 0
    for after, left in cuts(disk._disk):
        count += 1
        assert not broken_promise(left, told.state_by(after), told.trusted_by(after)), after
        assert not fails_to_finish(left, published, shelf, stored(disk._disk, after)), after
    assert count >= 500, f"only {count} different cuts"


def test_each_sync_in_the_code_is_needed(published: Any, shelf: Any) -> None:
    disk, _ = record(published, shelf)
    assert len(disk.sites) >= 7, disk.sites
    needless = []
    for site in disk.sites:
        published.sign()
        forgetful, told = record(published, shelf, site)
        if not violation(forgetful._disk, told, published, shelf):
            needless.append(site)
    assert needless == []


def test_a_second_power_cut_while_recovering_from_the_first_is_survived_too(published: Any, shelf: Any) -> None:
    disk, _told = record(published, shelf)
    dice = random.Random(7)
    for _ in range(150):
        first = dice.choice(list(disk._disk.crashes(dice.randrange(len(disk._disk.changes)))))
        committed = choose_bundle(STATE, MODEL, disk=PowerCutDisk(ROOT, found=dict(first.content()))).path
        assert not fails_to_finish(first, published, shelf, len(V2))
        second = dice.choice(list(first.crashes(dice.randrange(len(first.changes) + 1))))
        probe = PowerCutDisk(ROOT, found=dict(second.content()))
        assert committed is None or choose_bundle(STATE, MODEL, disk=probe).path is not None
        assert not fails_to_finish(second, published, shelf, len(V2))
