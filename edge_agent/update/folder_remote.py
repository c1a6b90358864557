"""The fleet's files from a folder or a USB stick: a copy that `edge fleet export` wrote. Verified like the network's.

Whoever made the stick is not believed: links are not followed, only plain files are read, a piece at a time. A stick
that is pulled out is a network that has gone: the update waits for it.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_agent.update.refusal import refusal
from edge_agent.update.remote import PIECE_BYTES, Answer

STAMP = "metadata/timestamp.json"
"""Written last by the export: a folder without it is not, or not yet, a copy of a fleet."""
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_ABSENT = {errno.ENOENT, errno.ENOTDIR}
_HOSTILE = {errno.ELOOP, errno.ENXIO, errno.ENAMETOOLONG}
"""A link in the place of a file or folder, a socket, a name too long."""


class FolderRemote:
    """A `Remote` below one folder."""

    def __init__(self, folder: Path) -> None:
        """`folder` need not be there yet."""
        self._folder = folder

    def has(self, path: str) -> bool:
        """Say whether a plain file of this path can be opened."""
        try:
            os.close(_open(self._folder, path)[0])
        except OSError:
            return False
        return True

    @contextmanager
    def get(self, path: str, *, start: int = 0, etag: str = "") -> Iterator[Answer]:
        """See `Remote`."""
        where = self._folder / path
        try:
            descriptor, size, stamp = _open(self._folder, path)
        except OSError as exc:
            if exc.errno in _HOSTILE:
                raise refusal("NO_SUCH_VERSION", f"{where} is a link, or no plain file") from exc
            if exc.errno not in _ABSENT or not self.has(STAMP):
                raise refusal("NETWORK", f"{self._folder} holds no copy of a fleet now: {exc.strerror}") from exc
            yield Answer(404, 0, "", iter(()))
            return
        try:
            if start and etag and etag != stamp:
                start = 0
            pieces = self._pieces(descriptor, start, path)
            yield Answer(206 if start else 200, start, stamp, pieces) if start <= size else Answer(416, 0, "", iter(()))
        finally:
            os.close(descriptor)

    def _pieces(self, descriptor: int, start: int, path: str) -> Iterator[bytes]:
        at = start
        while True:
            try:
                piece = os.pread(descriptor, PIECE_BYTES, at)
            except OSError as exc:  # a stick that was pulled out
                raise refusal("NETWORK", f"{self._folder / path}: {exc.strerror}") from exc
            if not piece:
                return
            yield piece
            at += len(piece)


def _open(folder: Path, path: str) -> tuple[int, int, str]:
    """Descriptor, size and etag of a plain file, reached through folders that are no links. Raises OSError."""
    parts = path.split("/")
    if not all(part not in ("", ".", "..") and "\0" not in part for part in parts):
        raise OSError(errno.ELOOP, "not a name of ours")
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            last = part is parts[-1]
            after = os.open(part, _FLAGS if last else _FLAGS | os.O_DIRECTORY, dir_fd=at)
            os.close(at)
            at = after
    except OSError:
        os.close(at)
        raise
    found = os.fstat(at)
    if not stat.S_ISREG(found.st_mode):
        os.close(at)
        raise OSError(errno.ELOOP, "no plain file")
    return at, found.st_size, f'"{found.st_mtime_ns} {found.st_size}"'
