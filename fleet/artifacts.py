"""Bundles on disk: an upload is hashed and opened, and gets its public name only when signed metadata names it."""

import asyncio
import errno
import hashlib
import os
import re
import secrets
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from edge.bundle import open_bundle
from edge.errors import BadArgumentError, BadBundleError, BadMessageError, DiskFullError, FileMissingError
from edge.manifest import Manifest
from fleet.config import FleetFolder, is_delta_path, sync_folder
from fleet.repository import SignedBundle, SignedDelta

MAX_BUNDLE_BYTES = 256 << 20
MAX_DELTA_BYTES = 16 << 20
"""Half of the largest bundle that differences are made of."""
MAX_REPORT_BYTES = 32 << 20
MAX_REPORT_FILES = 64
_REPORT_FILE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
_SHA256 = re.compile(r"^[0-9a-f]{64}$")


class Artifacts:
    """The folders `incoming`, `artifacts` and `reports` of one fleet."""

    def __init__(self, folder: FleetFolder) -> None:
        self._folder = folder
        for path in folder.incoming.iterdir():
            path.unlink()  # of an upload that a former process did not finish

    async def receive(self, sha256: str, chunks: AsyncIterator[bytes]) -> None:
        """Keep an uploaded bundle until targets that name it arrive. Raises BadMessageError, BadBundleError."""
        if not _SHA256.fullmatch(sha256):
            raise BadArgumentError("the upload must say its SHA-256", remedy="PUT /api/bundles/<64 hex digits>")
        part = self._folder.incoming / f"{secrets.token_hex(8)}.part"
        try:
            digest = await _write(part, chunks, MAX_BUNDLE_BYTES)
            if digest != sha256:
                raise BadMessageError(f"the upload has the SHA-256 {digest}, not {sha256}", remedy="send it again")
            await asyncio.to_thread(open_bundle, part)
            part.replace(self._staged(sha256))
        finally:
            part.unlink(missing_ok=True)

    def place(self, bundle: SignedBundle) -> None:
        """Give an uploaded bundle the name under which it was signed."""
        staged = self._staged(bundle.sha256)
        if not staged.exists():
            raise FileMissingError(
                f"{bundle.path} was signed but not uploaded", remedy="upload it, then send the targets"
            )
        manifest = open_bundle(staged).manifest
        said, signed = (manifest.name, manifest.version, manifest.target), bundle.custom
        if said != (signed.model, signed.version, signed.target) or staged.stat().st_size != bundle.size_bytes:
            raise BadBundleError(f"{bundle.path} holds {said}, not what was signed", remedy="publish it again")
        final = self.path(bundle.path)
        final.parent.mkdir(parents=True, exist_ok=True)
        staged.replace(final)
        sync_folder(final.parent)
        sync_folder(self._folder.artifacts)

    async def receive_delta(self, sha256: str, chunks: AsyncIterator[bytes]) -> None:
        """Keep an uploaded difference until targets that name it arrive; what it leads to only a device can tell."""
        if not _SHA256.fullmatch(sha256):
            raise BadArgumentError("the upload must say its SHA-256", remedy="PUT /api/deltas/<64 hex digits>")
        part = self._folder.incoming / f"{secrets.token_hex(8)}.part"
        try:
            if await _write(part, chunks, MAX_DELTA_BYTES) != sha256:
                raise BadMessageError("the upload has another SHA-256", remedy="send it again")
            part.replace(self._staged_delta(sha256))
        finally:
            part.unlink(missing_ok=True)

    def place_deltas(self, deltas: Sequence[SignedDelta]) -> None:
        """Give uploaded differences the names under which they were signed; several may be the same bytes."""
        for delta in deltas:
            staged, final = self._staged_delta(delta.sha256), self.path(delta.path)
            if not staged.exists() or staged.stat().st_size != delta.size_bytes:
                raise FileMissingError(f"{delta.path} was signed but not uploaded", remedy="publish it again")
            final.unlink(missing_ok=True)
            final.hardlink_to(staged)
            sync_folder(final.parent)
        for delta in deltas:
            self._staged_delta(delta.sha256).unlink(missing_ok=True)

    def deltas(self) -> set[str]:
        """Target paths of the differences that lie here, signed or not."""
        found = (
            path.relative_to(self._folder.artifacts).as_posix() for path in self._folder.artifacts.glob("*/*.delta")
        )
        return {path for path in found if is_delta_path(path)}

    def remove_delta(self, target_path: str) -> None:
        """Remove a difference for good; who reads it at this moment reads it to its end."""
        path = self.path(target_path)
        path.unlink(missing_ok=True)
        sync_folder(path.parent)

    def path(self, target_path: str) -> Path:
        """Where a published bundle lies."""
        return self._folder.artifacts / target_path

    def manifest(self, target_path: str) -> Manifest:
        """Manifest of a published bundle."""
        return open_bundle(self.path(target_path)).manifest

    async def receive_report(self, model: str, version: int, name: str, chunks: AsyncIterator[bytes]) -> None:
        """Keep one file of a compiler's report."""
        folder = self._folder.reports / f"{model}-{version}"
        if not _REPORT_FILE.fullmatch(name):
            raise BadArgumentError(f"{name!r} cannot name a report file", remedy="use letters, digits, . - and _")
        folder.mkdir(parents=True, exist_ok=True)
        if len(list(folder.iterdir())) >= MAX_REPORT_FILES:
            raise BadArgumentError(f"a report has at most {MAX_REPORT_FILES} files", remedy="publish fewer")
        part = self._folder.incoming / f"{secrets.token_hex(8)}.part"
        try:
            await _write(part, chunks, MAX_REPORT_BYTES)
            part.replace(folder / name)
        finally:
            part.unlink(missing_ok=True)

    def _staged_delta(self, sha256: str) -> Path:
        return self._folder.incoming / f"{sha256}.delta"

    def _staged(self, sha256: str) -> Path:
        return self._folder.incoming / f"{sha256}.edge"


async def _write(path: Path, chunks: AsyncIterator[bytes], limit_bytes: int) -> str:
    """Write a stream durably; returns its SHA-256. Raises `BadMessageError` over the limit, `DiskFullError`."""
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("wb") as file:
            async for chunk in chunks:
                size += len(chunk)
                if size > limit_bytes:
                    raise BadMessageError(f"the upload exceeds {limit_bytes >> 20} MiB", remedy="send a smaller file")
                digest.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError("the fleet's disk is full", remedy=f"free space below {path.parent}") from exc
        raise
    return digest.hexdigest()
