"""The disk as a power cut sees it: bytes and names are safe only once they were synced, each by its own call.

Everything that must survive goes through `Disk`, whose primitives are as small as the kernel's, so that a test can cut
the power between any two of them. `RealDisk` is the kernel; `edge_agent.power_cut.PowerCutDisk` the fake that forgets.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from edge.errors import DiskFullError

CHUNK_BYTES = 1 << 20


class Disk(Protocol):
    """What the agent asks of a disk. Changes last only after `sync_file` (bytes) and `sync_dir` (names)."""

    def read(self, path: Path, offset: int = 0, size: int | None = None) -> bytes:
        """Return up to `size` bytes from `offset`; raises FileNotFoundError."""

    def size(self, path: Path) -> int | None:
        """Length of a file in bytes; None when there is no such file."""

    def names(self, folder: Path) -> tuple[str, ...]:
        """Sorted names in a folder; empty when there is no such folder."""

    def free_bytes(self, folder: Path) -> int:
        """Room left for us on the disk that holds `folder`."""

    def create(self, path: Path) -> None:
        """Make an empty file, or empty the one that is there."""

    def write(self, path: Path, offset: int, data: bytes) -> None:
        """Write into a file that exists. Raises DiskFullError."""

    def truncate(self, path: Path, size: int) -> None:
        """Cut a file to `size` bytes."""

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name in the same folder, replacing what had it."""

    def unlink(self, path: Path) -> None:
        """Remove a file; does nothing when it is not there."""

    def protect(self, path: Path) -> None:
        """Make a file read-only: it is replaced as a whole, or not at all."""

    def mkdir(self, folder: Path) -> None:
        """Make one folder; does nothing when it is there."""

    def sync_file(self, path: Path) -> None:
        """Return when the bytes of the file are on the disk."""

    def sync_dir(self, folder: Path) -> None:
        """Return when the names in the folder are on the disk."""


@contextmanager
def _full_disk_is_our_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DiskFullError(f"no room to write {path}", remedy="free some space on the device's disk") from exc


class RealDisk:
    """The kernel's files."""

    def read(self, path: Path, offset: int = 0, size: int | None = None) -> bytes:
        """See `Disk`."""
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(-1 if size is None else size)

    def size(self, path: Path) -> int | None:
        """See `Disk`."""
        try:
            return path.stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def names(self, folder: Path) -> tuple[str, ...]:
        """See `Disk`."""
        try:
            return tuple(sorted(entry.name for entry in folder.iterdir()))
        except FileNotFoundError:
            return ()

    def free_bytes(self, folder: Path) -> int:
        """See `Disk`."""
        return shutil.disk_usage(folder).free

    def create(self, path: Path) -> None:
        """See `Disk`."""
        with _full_disk_is_our_error(path):
            path.unlink(missing_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644))

    def write(self, path: Path, offset: int, data: bytes) -> None:
        """See `Disk`."""
        with _full_disk_is_our_error(path), path.open("r+b", buffering=0) as file:
            file.seek(offset)
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]

    def truncate(self, path: Path, size: int) -> None:
        """See `Disk`."""
        os.truncate(path, size)

    def rename(self, old: Path, new: Path) -> None:
        """See `Disk`."""
        with _full_disk_is_our_error(new):
            old.replace(new)

    def unlink(self, path: Path) -> None:
        """See `Disk`."""
        path.unlink(missing_ok=True)

    def protect(self, path: Path) -> None:
        """See `Disk`."""
        path.chmod(0o444)

    def mkdir(self, folder: Path) -> None:
        """See `Disk`."""
        with _full_disk_is_our_error(folder):
            folder.mkdir(exist_ok=True)

    def sync_file(self, path: Path) -> None:
        """See `Disk`."""
        self._sync(path, os.O_RDONLY)

    def sync_dir(self, folder: Path) -> None:
        """See `Disk`."""
        self._sync(folder, os.O_RDONLY | os.O_DIRECTORY)

    @staticmethod
    def _sync(path: Path, flags: int) -> None:
        fd = os.open(path, flags | os.O_CLOEXEC)
        try:
            with _full_disk_is_our_error(path):
                os.fsync(fd)
        finally:
            os.close(fd)


def replace_file(disk: Disk, path: Path, data: bytes) -> None:
    """Put `data` at `path` so that a power cut leaves the old file or the new one, and after return the new one."""
    fresh = path.with_name(path.name + ".new")
    disk.create(fresh)
    disk.write(fresh, 0, data)
    disk.sync_file(fresh)
    disk.rename(fresh, path)
    disk.sync_dir(path.parent)


def sha256_of(disk: Disk, path: Path) -> str:
    """Hexadecimal SHA-256 of a file, read a piece at a time; raises FileNotFoundError."""
    digest, offset = hashlib.sha256(), 0
    while piece := disk.read(path, offset, CHUNK_BYTES):
        digest.update(piece)
        offset += len(piece)
    return digest.hexdigest()
