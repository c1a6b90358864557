"""Fetch one bundle, going on where the last attempt stopped, also when a power cut stopped it.

The length of the part is the only record of progress. It grows by a third of a block at a time, and each third is
synced before the next is written, so a power cut can damage the last third only. The first attempt after a start
therefore takes the last third as doubtful. With the third that was being written, and what was on its way, at most one
block is fetched twice. Doubtful bytes stay until better ones come: starting ten times without a network loses nothing.
"""

from pathlib import Path

from edge_agent.disk import Disk
from edge_agent.update.journal import BundleRecord, DeltaRecord
from edge_agent.update.refusal import refusal
from edge_agent.update.remote import Answer, Remote


class Download:
    """One attempt after another at one bundle. `etag`: what the server called the file in the last attempt."""

    def __init__(
        self, disk: Disk, remote: Remote, record: BundleRecord | DeltaRecord, part: Path, *, block_bytes: int
    ) -> None:
        """Fetch `record` into `part`; `block_bytes` is the most that is fetched twice."""
        self._disk, self._remote, self._record, self._part = disk, remote, record, part
        self._third = max(1, block_bytes // 3)
        self._etag = ""
        self._safe: int | None = None
        """Bytes that this process knows to be on the disk."""
        self.resumed = False
        """Some of the bytes come from before this process: they may be another file's."""

    def attempt(self) -> None:
        """Return when all bytes are on the disk. Raises TrustError (NETWORK: try again) and DiskFullError."""
        start = self._resume_at()
        with self._remote.get(f"artifacts/{self._record.path}", start=start, etag=self._etag) as answer:
            self._check(answer, start)
            if answer.status == 200 and start:
                start = self._begin()
            self.resumed = start > 0 and (self.resumed or not self._etag)
            self._etag = answer.etag
            self._store(answer, start)

    def _resume_at(self) -> int:
        """Length of what is certainly safe."""
        size = self._disk.size(self._part)
        if size is None or size > self._record.size_bytes:
            return self._begin()
        if self._safe is None:
            self._safe = max(0, (size - 1) // self._third * self._third)
        return self._safe

    def _begin(self) -> int:
        self._disk.create(self._part)
        self._disk.sync_dir(self._part.parent)
        self._safe = 0
        return 0

    def _check(self, answer: Answer, start: int) -> None:
        match answer.status:
            case 200:
                return
            case 206 if answer.start == start:
                return
            case 206 | 416:
                self._disk.unlink(self._part)
                raise refusal("NETWORK", f"the fleet answered with byte {answer.start} when asked for byte {start}")
            case 404 | 410:
                raise refusal("NO_SUCH_VERSION", f"the fleet has no file {self._record.path}")
        raise refusal("NETWORK", f"{self._record.path}: HTTP status {answer.status}")

    def _store(self, answer: Answer, start: int) -> None:
        at, held = start, bytearray()
        for piece in answer.pieces:
            held += piece
            if at + len(held) > self._record.size_bytes:
                raise refusal("HASH_MISMATCH", f"{self._record.path} is longer than signed")
            while len(held) >= self._third:
                at = self._append(at, bytes(held[: self._third]))
                del held[: self._third]
        if at + len(held) < self._record.size_bytes:
            raise refusal("NETWORK", f"{self._record.path} ended after {at + len(held)} bytes")
        self._append(at, bytes(held))

    def _append(self, at: int, data: bytes) -> int:
        if data:
            self._disk.write(self._part, at, data)
            self._disk.sync_file(self._part)
            self._safe = at + len(data)
        return at + len(data)
