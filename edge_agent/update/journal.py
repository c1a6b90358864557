"""Where an update stands: one page on the disk, written before each step is taken.

Two files are written in turn, so a torn page leaves the one before it: one sync a step, and no file is ever renamed.
The reader takes the page with the higher number whose checksum fits.
"""

from pathlib import Path
from typing import Literal
from zlib import crc32

import msgspec

from edge.messages import UpdateState
from edge_agent.disk import Disk

SlotName = Literal["a", "b"]
PAGES, SLOTS = ("journal-0", "journal-1"), "slots"
PAGE_BYTES = 4096
REASON_CHARS = 400
RESTING: frozenset[UpdateState] = frozenset({"IDLE", "COMMITTED", "ROLLED_BACK", "FAILED"})
"""States that wait for the next wish."""


class DeltaRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A signed difference: from the bundle with `from_sha256` to the one that names it."""

    sha256: str
    size_bytes: int
    path: str
    from_sha256: str


class BundleRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle as the signed metadata describe it."""

    version: int
    sha256: str
    size_bytes: int
    path: str
    """Its path below `artifacts/` of the fleet."""
    delta: DeltaRecord | None = None
    """A shorter way to it, from a bundle that this device has."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the next boot must know of one model."""

    state: UpdateState = "IDLE"
    active: SlotName | None = None
    """Slot of the committed version."""
    a: BundleRecord | None = None
    b: BundleRecord | None = None
    """What each slot holds, or is about to hold; None: nothing that may run."""
    incoming: BundleRecord | None = None
    """What is being fetched."""
    attempted: int = 0
    """Version that `state` speaks of."""
    order: int = -1
    """Order of the last wish that was taken up."""
    folder: str = ""
    """Where the version comes from, if a person brought it; empty: from the fleet."""
    boots: int = 0
    """Times the device started a version that is not committed yet."""
    reason: str = ""

    def slot(self, name: SlotName | None) -> BundleRecord | None:
        """What the journal says of a slot."""
        return self.a if name == "a" else self.b if name == "b" else None

    def with_slot(self, name: SlotName, record: BundleRecord | None) -> "Entry":
        """The same entry, with another bundle in a slot."""
        return change(self, a=record) if name == "a" else change(self, b=record)

    @property
    def spare(self) -> SlotName:
        """The slot that a new version goes to."""
        return "b" if self.active == "a" else "a"

    @property
    def running(self) -> int:
        """The committed version; 0 when there is none."""
        record = self.slot(self.active)
        return record.version if record else 0


def change(entry: Entry, **fields: object) -> Entry:
    """Return a copy with some fields changed; a reason is cut to what a page can hold."""
    if "reason" in fields:
        fields["reason"] = str(fields["reason"])[:REASON_CHARS]
    return msgspec.structs.replace(entry, **fields)


class _Page(msgspec.Struct, frozen=True):
    number: int
    crc: int
    entry: msgspec.Raw


class Journal:
    """The journal of one model. `entry` is what is on the disk."""

    def __init__(self, disk: Disk, state_dir: Path, model: str) -> None:
        """Read it, or begin it; `state_dir` exists."""
        self._disk = disk
        self.folder = _make_folder(disk, state_dir, model)
        self._paths = tuple(self.folder / page for page in PAGES)
        pages = [page for path in self._paths if (page := _read(disk, path))]
        self._number, self.entry = max(pages, key=lambda page: page[0], default=(0, Entry()))

    def write(self, entry: Entry) -> None:
        """Return when `entry` is what the next boot will read."""
        raw = msgspec.json.encode(entry)
        number = self._number + 1
        page = msgspec.json.encode(_Page(number, _checksum(number, raw), msgspec.Raw(raw)))
        if len(page) > PAGE_BYTES:
            raise ValueError(f"a journal page of {len(page)} bytes does not fit {PAGE_BYTES}")
        path = self._paths[number % 2]
        self._disk.write(path, 0, page.ljust(PAGE_BYTES))
        self._disk.sync_file(path)
        self._number, self.entry = number, entry


def _make_folder(disk: Disk, state_dir: Path, model: str) -> Path:
    """Make what the journal and the slots need, and return the model's folder.

    Synced even if it is there already: it may have been made just before a power cut.
    """
    folder = state_dir / "models" / model
    for path in (folder.parent, folder, folder / SLOTS):
        disk.mkdir(path)
    for name in PAGES:
        if disk.size(folder / name) is None:
            disk.create(folder / name)
            disk.write(folder / name, 0, b" " * PAGE_BYTES)  # its room is taken now: a full disk cannot stop a page
    for path in (state_dir, folder.parent, folder):
        disk.sync_dir(path)
    return folder


def _checksum(number: int, raw: bytes) -> int:
    return crc32(raw, number)


def _read(disk: Disk, path: Path) -> tuple[int, Entry] | None:
    """One page, or None when it is torn, damaged or not yet written."""
    try:
        page = msgspec.json.decode(disk.read(path), type=_Page)
        if _checksum(page.number, bytes(page.entry)) != page.crc:
            return None
        return page.number, msgspec.json.decode(page.entry, type=Entry)
    except (msgspec.MsgspecError, UnicodeDecodeError, FileNotFoundError):
        return None
