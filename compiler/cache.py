"""What was built or measured once is not done again: a folder of results, keyed by the content that they came from.

A key is the hash of everything that a result depends on (model, data, plan, versions of the tools); nothing is ever
invalidated, only forgotten, the least recently used first, when the folder outgrows its limit.
"""

import contextlib
import functools
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

LIMIT_BYTES = 2 * 2**30
"""Of one folder: some hundred candidates of a network for a small device."""
_ENDING = ".entry"


def key_of(*parts: object) -> str:
    """Hash what a result depends on, in order; equal parts give equal keys on every machine.

    Raises: TypeError for a part that msgspec cannot encode.
    """
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()


@functools.cache
def code_digest() -> str:
    """Hash our own source: a result of other code is another result, whatever the version says."""
    files = sorted(path for part in ("compiler", "edge") for path in _folder_of(part).rglob("*") if path.is_file())
    kept = [path for path in files if "__pycache__" not in path.parts]
    return hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in kept)).hexdigest()


def installed() -> tuple[str, ...]:
    """Name and version of every package that could be imported: any of them may shape what the exporters write."""
    folders = (Path(folder) for folder in dict.fromkeys(sys.path) if folder)
    return tuple(sorted(one.stem for folder in folders for one in folder.glob("*.dist-info")))


def _folder_of(package: str) -> Path:
    return Path(__file__).parents[1] / package


def default_folder() -> Path:
    """`edgewright` in the user's cache folder. Source: XDG Base Directory Specification, XDG_CACHE_HOME."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache") / "edgewright"


@dataclass(frozen=True, slots=True)
class Cache:
    """One folder; several processes may use it at once. `folder` None: nothing is kept."""

    folder: Path | None
    limit_bytes: int = LIMIT_BYTES

    def get(self, key: str) -> bytes | None:
        """Return what was put under `key`, or None. A damaged entry counts as absent."""
        if self.folder is None:
            return None
        path = self.folder / (key + _ENDING)
        try:
            content = path.read_bytes()
            os.utime(path)  # used now: forgotten last
        except OSError:
            return None
        digest, found = content[:32], content[32:]
        return found if hashlib.sha256(found).digest() == digest else None

    def put(self, key: str, content: bytes) -> None:
        """Keep `content`; a full disk or a folder that cannot be written keeps nothing, and harms nothing."""
        if self.folder is None:
            return
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(self.folder / (key + _ENDING), hashlib.sha256(content).digest() + content)
            self._forget()

    def remember(self, key: str, make: Callable[[], bytes]) -> bytes:
        """Return what is kept under `key`, or make and keep it."""
        found = self.get(key)
        if found is None:
            found = make()
            self.put(key, found)
        return found

    def _forget(self) -> None:
        """Delete the entries that were used the longest time ago until the rest fits."""
        assert self.folder is not None  # noqa: S101 - narrows the type
        entries = sorted(((e.stat().st_mtime_ns, e.stat().st_size, e.path) for e in os.scandir(self.folder)
                          if e.name.endswith(_ENDING)), reverse=True)  # fmt: skip
        total = 0
        for _, size, path in entries:
            total += size
            if total > self.limit_bytes:
                with contextlib.suppress(FileNotFoundError):  # another process forgets, too
                    Path(path).unlink()


def write_whole(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Write beside and rename, so that nobody ever reads half a file."""
    descriptor, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).chmod(mode)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
