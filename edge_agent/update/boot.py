"""Which bundle runs when the device starts. The supervisor asks once, before anything else.

A version in probation that was started twice without being committed is given up at the third start. A bundle runs
only if its bytes still have the hash that was verified; if they have not, the other slot's does.
"""

from dataclasses import dataclass
from pathlib import Path

from edge_agent.disk import Disk, RealDisk
from edge_agent.update.journal import Entry, Journal, SlotName, change
from edge_agent.update.slots import Slots

MAX_BOOTS = 3
"""A version in probation is rolled back at this start. Source: evidence/fleet.md, boot counter."""


@dataclass(frozen=True, slots=True)
class BootChoice:
    """The bundle to run; `path` None and `version` 0: this device has no model yet."""

    path: Path | None
    version: int
    reason: str
    """Empty, or CODE: sentence, when it is not the version that was expected."""


def choose_bundle(state_dir: Path, model: str, *, disk: Disk | None = None) -> BootChoice:
    """Choose, and journal the choice. `state_dir` exists. Counts one boot of a version in probation."""
    disk = disk or RealDisk()
    journal = Journal(disk, state_dir, model)
    slots = Slots(disk, journal.folder)
    entry = _counted(journal.entry)
    if entry.state in ("SWITCHED", "PROBATION") and _is_whole(entry, entry.spare, slots):
        journal.write(entry)
        return BootChoice(slots.path(entry.spare), entry.attempted, entry.reason)
    entry = _settled(entry, slots)
    if entry != journal.entry:
        journal.write(entry)
    path = slots.path(entry.active) if entry.active else None
    return BootChoice(path, entry.running, entry.reason)


def rolled_back(entry: Entry, reason: str) -> Entry:
    """Give the version on trial up; it is not tried again before a higher order comes."""
    return change(entry.with_slot(entry.spare, None), state="ROLLED_BACK", incoming=None, boots=0, reason=reason)


def _counted(entry: Entry) -> Entry:
    if entry.state not in ("SWITCHED", "PROBATION"):
        return entry
    if entry.boots + 1 >= MAX_BOOTS:
        return rolled_back(entry, f"PROBATION_FAILED: started {MAX_BOOTS} times without being committed")
    return change(entry, boots=entry.boots + 1)


def _settled(entry: Entry, slots: Slots) -> Entry:
    """The entry with the committed slot, or the other one, as `active`: whichever still has its verified bytes."""
    if entry.state in ("SWITCHED", "PROBATION"):
        entry = change(rolled_back(entry, _lost(entry.attempted)), order=-1)
    if entry.active is None or _is_whole(entry, entry.active, slots):
        return entry
    return _without_active(entry, entry.active, slots)


def _without_active(entry: Entry, damaged: SlotName, slots: Slots) -> Entry:
    """The running version is damaged: take the other slot, and let the fleet's last wish be tried again."""
    spare = entry.spare if _is_whole(entry, entry.spare, slots) else None
    left = change(
        entry.with_slot(damaged, None), active=spare, state="ROLLED_BACK" if spare else "FAILED", incoming=None,
        attempted=entry.running, order=-1, reason=_lost(entry.running),
    )  # fmt: skip
    return left if spare else left.with_slot(entry.spare, None)


def _is_whole(entry: Entry, name: SlotName, slots: Slots) -> bool:
    record = entry.slot(name)
    return record is not None and slots.holds(slots.path(name), record)


def _lost(version: int) -> str:
    return f"SLOT_DAMAGED: version {version} has lost its bytes"
