"""A disk in memory that forgets what was not synced: the fake of `edge_agent.disk`, for tests of what survives.

It records every change. `crash(after=n)` builds the disk as it may look when the power went right after the n-th
change: names that were not synced may be lost or kept; bytes that were not synced may be lost, kept, torn inside the
last write, or turned to zeros in a file that already has its new length.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Literal, get_args

from edge.errors import DiskFullError

Names = Literal["lost", "kept"]
Bytes = Literal["lost", "kept", "torn", "zeros"]
ALL_NAMES: tuple[Names, ...] = get_args(Names)
ALL_BYTES: tuple[tuple[Bytes, float], ...] = (
    ("lost", 0), ("kept", 0), ("zeros", 0),
    ("torn", 0.01), ("torn", 0.25), ("torn", 0.5), ("torn", 0.75), ("torn", 0.99),
)  # fmt: skip
"""How un-synced bytes may look, and at which share of its length the last write is torn."""


@dataclass(frozen=True, slots=True)
class Change:
    """One recorded call. `data` of a write; `offset` of a write, or the new size of a truncate."""

    kind: Literal["create", "write", "truncate", "rename", "unlink", "mkdir", "sync_file", "sync_dir"]
    path: str
    to: str = ""
    offset: int = 0
    data: bytes = b""


@dataclass(slots=True)
class _File:
    """`seen` is what a read returns now, `safe` what is on the disk, `pending` what came between."""

    seen: bytearray = field(default_factory=bytearray)
    safe: bytes = b""
    pending: list[Change] = field(default_factory=list)

    def apply(self, change: Change) -> None:
        _edit(self.seen, change)
        self.pending.append(change)

    def after_cut(self, data: Bytes, torn_at: float) -> bytes:
        """Return the bytes that the next boot finds."""
        if not self.pending or data == "lost":
            return self.safe
        left = bytearray(self.safe)
        for change in self.pending[:-1]:
            _edit(left, _zeroed(change) if data == "zeros" else change)
        last = self.pending[-1]
        if data == "torn":
            last = Change(last.kind, last.path, offset=last.offset, data=last.data[: int(len(last.data) * torn_at)])
        _edit(left, _zeroed(last) if data == "zeros" else last)
        return bytes(left)


def _zeroed(change: Change) -> Change:
    return Change(change.kind, change.path, offset=change.offset, data=bytes(len(change.data)))


def _edit(content: bytearray, change: Change) -> None:
    if change.kind == "truncate":
        del content[change.offset :]
        return
    gap = change.offset - len(content)
    if gap > 0:
        content.extend(bytes(gap))
    content[change.offset : change.offset + len(change.data)] = change.data


_Names = dict[str, _File | Literal["gone"] | None]
"""Changes of names that happen together: a rename is one. A folder is None."""


class PowerCutDisk:
    """A `Disk` in memory; `changes` is what was done to it since it was made."""

    def __init__(
        self, root: Path = Path("/"), *, found: Mapping[str, bytes | None] | None = None, capacity_bytes: int = 1 << 40
    ) -> None:
        """Start with the files of `found` (a folder is None), all of them safe."""
        self.root, self.capacity_bytes = root, capacity_bytes
        self.changes: list[Change] = []
        self._found = dict(found or {str(root): None})
        self._safe = {name: None if content is None else _settled(content) for name, content in self._found.items()}
        self._seen = dict(self._safe)
        self._pending: dict[str, list[_Names]] = {}
        """By folder: names that are not yet synced."""

    # --- reading ---------------------------------------------------------------------------------

    def read(self, path: Path, offset: int = 0, size: int | None = None) -> bytes:
        """See `Disk`."""
        end = None if size is None else offset + size
        return bytes(self._file(path).seen[offset:end])

    def size(self, path: Path) -> int | None:
        """See `Disk`."""
        file = self._seen.get(str(path))
        return None if file is None else len(file.seen)

    def names(self, folder: Path) -> tuple[str, ...]:
        """See `Disk`."""
        return tuple(
            sorted(Path(name).name for name in self._seen if name != "/" and str(Path(name).parent) == str(folder))
        )

    def free_bytes(self, folder: Path) -> int:
        """See `Disk`."""
        del folder
        return self.capacity_bytes - sum(len(file.seen) for file in self._seen.values() if file)

    # --- changing --------------------------------------------------------------------------------

    def create(self, path: Path) -> None:
        """See `Disk`."""
        self._do(Change("create", str(path)))

    def write(self, path: Path, offset: int, data: bytes) -> None:
        """See `Disk`."""
        grows = max(0, offset + len(data) - len(self._file(path).seen))
        if grows > self.free_bytes(path):
            raise DiskFullError(f"no room to write {path}", remedy="free some space on the device's disk")
        self._do(Change("write", str(path), offset=offset, data=bytes(data)))

    def truncate(self, path: Path, size: int) -> None:
        """See `Disk`."""
        self._do(Change("truncate", str(path), offset=size))

    def rename(self, old: Path, new: Path) -> None:
        """See `Disk`."""
        self._do(Change("rename", str(old), to=str(new)))

    def unlink(self, path: Path) -> None:
        """See `Disk`."""
        if str(path) in self._seen:
            self._do(Change("unlink", str(path)))

    def protect(self, path: Path) -> None:
        """See `Disk`; nothing to forget."""
        self._file(path)

    def mkdir(self, folder: Path) -> None:
        """See `Disk`."""
        if str(folder) not in self._seen:
            self._do(Change("mkdir", str(folder)))

    def sync_file(self, path: Path) -> None:
        """See `Disk`."""
        self._do(Change("sync_file", str(path)))

    def sync_dir(self, folder: Path) -> None:
        """See `Disk`."""
        self._do(Change("sync_dir", str(folder)))

    # --- the power cut ---------------------------------------------------------------------------

    def crash(self, *, after: int, names: Names = "lost", data: Bytes = "lost", torn_at: float = 0.5) -> "PowerCutDisk":
        """Return the disk that the next boot finds when the power went right after the first `after` changes."""
        return self._replayed(after)._cut(names, data, torn_at)

    def crashes(self, after: int) -> Iterator["PowerCutDisk"]:
        """Every different disk that a cut after the first `after` changes may leave."""
        now, met = self._replayed(after), set()
        for names, (data, torn_at) in product(ALL_NAMES, ALL_BYTES):
            left = now._cut(names, data, torn_at)
            if (content := left.content()) not in met:
                met.add(content)
                yield left

    def _replayed(self, after: int) -> "PowerCutDisk":
        now = PowerCutDisk(self.root, found=self._found, capacity_bytes=self.capacity_bytes)
        for change in self.changes[:after]:
            now._do(change)
        return now

    def _cut(self, names: Names, data: Bytes, torn_at: float) -> "PowerCutDisk":
        table = self._seen if names == "kept" else self._safe
        found = {
            name: None if file is None else file.after_cut(data, torn_at)
            for name, file in table.items()
            if all(str(folder) in table for folder in Path(name).parents if folder.is_relative_to(self.root))
        }
        return PowerCutDisk(self.root, found=found, capacity_bytes=self.capacity_bytes)

    def content(self) -> tuple[tuple[str, bytes | None], ...]:
        """Every name, and its bytes (None for a folder): to compare disks."""
        return tuple(sorted((name, None if file is None else bytes(file.seen)) for name, file in self._seen.items()))

    # --- how it works ----------------------------------------------------------------------------

    def _file(self, path: Path | str) -> _File:
        file = self._seen.get(str(path))
        if file is None:
            raise FileNotFoundError(str(path))
        return file

    def _do(self, change: Change) -> None:
        self.changes.append(change)
        match change.kind:
            case "write" | "truncate":
                self._file(change.path).apply(change)
            case "sync_file":
                file = self._file(change.path)
                file.safe, file.pending = bytes(file.seen), []
            case "sync_dir":
                for names in self._pending.pop(change.path, []):
                    _rename_in(self._safe, names)
            case "create":
                self._name(change.path, {change.path: _File()})
            case "mkdir":
                self._name(change.path, {change.path: None})
            case "unlink":
                self._name(change.path, {change.path: "gone"})
            case "rename":
                self._name(change.path, {change.to: self._file(change.path), change.path: "gone"})

    def _name(self, path: str, names: _Names) -> None:
        folder = os.path.dirname(path)  # noqa: PTH120 -- Path() for each change is most of the time of a replay
        if folder not in self._seen:
            raise FileNotFoundError(folder)
        _rename_in(self._seen, names)
        self._pending.setdefault(folder, []).append(names)


def _settled(content: bytes) -> _File:
    return _File(seen=bytearray(content), safe=content)


def _rename_in(table: dict[str, _File | None], names: _Names) -> None:
    for name, file in names.items():
        if file == "gone":
            table.pop(name, None)
        else:
            table[name] = file
