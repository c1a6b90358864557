"""What may be installed: the fleet's signed metadata (TUF), and the rules of our own that they carry.

Workflow: clock sane? -> refresh root, timestamp, snapshot, targets (python-tuf checks signatures, versions, expiry) ->
this version signed? -> its model, target, agent and floor fit (`edge_agent.update.rules`)? All that was ever
trusted lies in one file that is replaced as a whole; python-tuf works on a copy of it in memory.
"""

import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
    UnsignedMetadataError,
)
from tuf.api.metadata import Metadata, TargetFile, Targets
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from edge.errors import TrustError
from edge_agent.disk import Disk, replace_file
from edge_agent.update.folder_remote import FolderRemote
from edge_agent.update.journal import BundleRecord
from edge_agent.update.refusal import Code, code_of, refusal
from edge_agent.update.remote import Remote
from edge_agent.update.rules import allowed, bundle_path, find_delta, signed_versions

BUILT_S = 1_767_225_600.0
"""2026-01-01: no device that runs this release can rightly believe in an earlier day."""
SLACK_S = 86_400.0
"""A time server may set a clock back by less than this without stopping updates."""
REFRESH_S = 120.0
"""Longest time that all metadata together may take."""
NETWORK_PASSES: frozenset[Code] = frozenset({"NETWORK"})
FOLDER_PASSES: frozenset[Code] = NETWORK_PASSES | {"METADATA_OLDER", "METADATA_EXPIRED"}
"""When the metadata trusted last decide instead: a stick is soon older than what the device has seen."""
T = TypeVar("T")


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """`trust.json`: everything that was ever trusted, and when (Unix seconds)."""

    seen_s: float = 0.0
    files: dict[str, str] = {}
    """By path below python-tuf's metadata folder."""


class Trust:
    """The device's side of TUF."""

    def __init__(
        self, disk: Disk, path: Path, root_json: str, remote: Remote, *, now_s: Callable[[], float] = time.time
    ) -> None:
        """Read what was trusted before from `path`; `root_json` is the enrolled root."""
        self._disk, self._path, self._remote, self._now_s = disk, path, remote, now_s
        self._root = root_json.encode()
        self._kept = _read(disk, path)

    def clock_ok(self) -> bool:
        """Say whether the wall clock can be right."""
        return self._now_s() >= max(BUILT_S, self._kept.seen_s - SLACK_S)

    def find(
        self,
        model: str,
        version: int,
        *,
        target: str,
        agent: str,
        folder: Remote | None = None,
        have: Collection[str] = (),
    ) -> BundleRecord:
        """Return the signed description of a bundle that this device may install.

        Without a network the metadata trusted last decide, as long as they have not expired. `folder`: look there, not
        at the fleet; where its copy of the metadata is older, those trusted last decide as well. `have`: hashes of
        bundles that are here, for a difference from one of them.
        Raises: TrustError, its problem beginning with a code of `edge_agent.update.refusal`; DiskFullError.
        """

        def described(targets: dict[str, TargetFile]) -> BundleRecord:
            record = allowed(targets, model, version, target=target, agent=agent)
            return msgspec.structs.replace(record, delta=find_delta(targets, record, have))

        return self._decide(described, folder)

    def newest(self, model: str, *, target: str, agent: str, folder: FolderRemote) -> int:
        """The highest version in a folder that this device may install; raises TrustError when there is none."""

        def highest(targets: dict[str, TargetFile]) -> int:
            found = [version for version in signed_versions(targets, model, target)
                     if folder.has(f"artifacts/{bundle_path(model, version)}")]  # fmt: skip
            if not found:
                raise refusal("NO_SUCH_VERSION", f"the folder holds no bundle of {model} for {target}")
            allowed(targets, model, max(found), target=target, agent=agent)
            return max(found)

        return self._decide(highest, folder)

    def _decide(self, rule: Callable[[dict[str, TargetFile]], T], folder: Remote | None) -> T:
        if not self.clock_ok():
            raise refusal("CLOCK_WRONG", "the clock stands before a time that has certainly passed")
        try:
            return rule(self._refreshed(folder or self._remote))
        except TrustError as exc:
            passes = FOLDER_PASSES if folder else NETWORK_PASSES
            if code_of(exc.problem) not in passes or "targets.json" not in self._kept.files:
                raise
            try:
                return rule(self._refreshed(None))
            except TrustError as verdict:
                raise (verdict if code_of(exc.problem) == "METADATA_OLDER" else exc) from None

    def _refreshed(self, remote: Remote | None) -> dict[str, TargetFile]:
        """Run the client workflow of the TUF specification, and return the signed targets."""
        shared = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 -- a private folder in it
        with tempfile.TemporaryDirectory(prefix="edge-trust-", dir=shared) as name:
            folder = Path(name)
            _put_back(folder, self._kept)
            fetcher = _Fetcher(remote, self._kept)
            try:
                self._refresh(name, fetcher)
                self._keep(folder, self._now_s())
            except TrustError:
                self._keep(folder, self._kept.seen_s)
                raise
            return Metadata[Targets].from_file(str(folder / "targets.json")).signed.targets

    def _refresh(self, folder: str, fetcher: "_Fetcher") -> None:
        config = UpdaterConfig(prefix_targets_with_hash=False)
        try:
            Updater(folder, "metadata/", fetcher=fetcher, config=config, bootstrap=self._root).refresh()
        except BadVersionNumberError as exc:
            raise refusal("METADATA_OLDER", str(exc)) from exc
        except ExpiredMetadataError as exc:
            raise refusal("METADATA_EXPIRED", str(exc)) from exc
        except UnsignedMetadataError as exc:
            raise refusal("UNSIGNED" if fetcher.last_has_no_signature() else "BAD_SIGNATURE", str(exc)) from exc
        except (LengthOrHashMismatchError, DownloadLengthMismatchError) as exc:
            raise refusal("HASH_MISMATCH", str(exc)) from exc
        except RepositoryError as exc:
            raise refusal("BAD_SIGNATURE", f"unreadable metadata: {exc}") from exc
        except DownloadError as exc:
            if isinstance(exc.__cause__, TrustError):
                raise exc.__cause__ from None
            raise refusal("NETWORK", str(exc)) from exc

    def _keep(self, folder: Path, seen_s: float) -> None:
        """Write back what python-tuf has verified; after a failure too, so that no older one is ever taken."""
        found = sorted(path for path in folder.rglob("*.json") if not path.is_symlink())
        files = {str(path.relative_to(folder)): path.read_text("utf-8") for path in found}
        kept = Kept(seen_s=seen_s, files=files)
        if kept != self._kept:
            replace_file(self._disk, self._path, msgspec.json.encode(kept))
            self._kept = kept


class _Fetcher(FetcherInterface):
    """Metadata from the fleet; without a `remote`, what was trusted last, to see whether it still holds."""

    def __init__(self, remote: Remote | None, kept: Kept) -> None:
        self._remote, self._kept = remote, kept
        self._deadline_s = time.monotonic() + REFRESH_S
        self._last = b""

    def last_has_no_signature(self) -> bool:
        try:
            return not msgspec.json.decode(self._last)["signatures"]
        except (msgspec.MsgspecError, KeyError, TypeError):
            return False

    def _fetch(self, url: str) -> Iterator[bytes]:
        if self._remote is None:
            file = self._kept.files.get(url.removeprefix("metadata/"))
            if file is None:
                raise DownloadHTTPError(f"{url} was never seen", 404)
            return iter([file.encode()])
        with self._remote.get(url) as answer:
            if answer.status != 200:
                raise DownloadHTTPError(f"{url}: HTTP status {answer.status}", answer.status)
            self._last = b"".join(self._in_time(answer.pieces))
        return iter([self._last])

    def _in_time(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        total = 0
        for piece in pieces:
            total += len(piece)
            if time.monotonic() > self._deadline_s or total > UpdaterConfig.targets_max_length:
                raise refusal("NETWORK", "the fleet sends its metadata too slowly, or too much of it")
            yield piece


def _read(disk: Disk, path: Path) -> Kept:
    """What was kept; nothing if there is none or it is damaged, then trust begins at the enrolled root again."""
    try:
        return msgspec.json.decode(disk.read(path), type=Kept)
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
        return Kept()


def _put_back(folder: Path, kept: Kept) -> None:
    for name, text in kept.files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
