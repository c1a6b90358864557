"""The folder of kept pictures, read for the fleet: nothing but regular files with such a name, in that one folder."""

import hashlib
import os
import stat
from collections.abc import Callable
from io import FileIO
from pathlib import Path

from edge.chunks import MISSING, PARTIAL, TOO_SHORT, Chunk
from edge.kept import PICTURE_BYTES, is_kept_name
from edge.messages import KeptPicture, SendPicture

Wait = Callable[[int], None]
"""Called with the bytes of each read, to hold a rate."""
_BLOCK_BYTES = 1 << 18


class Shelf:
    """Reads; another process writes and removes. Remembers the hashes of what was last described. One thread only."""

    def __init__(self, folder: Path) -> None:
        """`folder` need not be there."""
        self._folder = folder
        self._known: dict[tuple[str, int, int], KeptPicture] = {}

    def names(self) -> list[str]:
        """Names of all pictures, the newest first. Raises: OSError."""
        try:
            return sorted((path.name for path in self._folder.iterdir() if is_kept_name(path.name)), reverse=True)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def describe(self, names: list[str], most_bytes: int, wait: Wait) -> list[KeptPicture]:
        """Sizes and hashes in the order of `names`, until they hold `most_bytes`, without what is gone or too large.

        Raises: OSError.
        """
        known: dict[tuple[str, int, int], KeptPicture] = {}
        size_bytes = 0
        for name in names:
            file = _open(self._folder, name)
            if file is None:
                continue
            with file:
                status = os.fstat(file.fileno())
                size_bytes += status.st_size
                if size_bytes > most_bytes:
                    break
                key = (name, status.st_size, status.st_mtime_ns)
                if 0 < status.st_size <= PICTURE_BYTES:
                    known[key] = self._known.get(key) or _describe(name, file, wait)
        self._known = known
        return list(known.values())

    def piece(self, question: SendPicture) -> Chunk:
        """The piece that was asked for, or why there is none. Raises: OSError."""
        file = _open(self._folder, question.name)
        if file is None:
            return Chunk(question.id, MISSING, question.offset, 0, "")
        with file:
            total_bytes = os.fstat(file.fileno()).st_size
            if question.offset > total_bytes:
                return Chunk(question.id, TOO_SHORT, question.offset, total_bytes, "")
            data = os.pread(file.fileno(), question.size_bytes, question.offset)
            return Chunk(question.id, PARTIAL, question.offset, total_bytes, "", data)


def _describe(name: str, file: FileIO, wait: Wait) -> KeptPicture:
    digest, size_bytes = hashlib.sha256(), 0
    while block := file.read(_BLOCK_BYTES):
        wait(len(block))
        digest.update(block)
        size_bytes += len(block)
    return KeptPicture(name=name, size_bytes=size_bytes, sha256=digest.hexdigest())


def _open(folder: Path, name: str) -> FileIO | None:
    """A regular file of that name in `folder` itself; None where there is none. Follows no link, waits for no pipe."""
    if not is_kept_name(name):
        return None
    try:
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return FileIO(descriptor)
    os.close(descriptor)
    return None
