"""Differences between published bundles: made by the publisher, signed like bundles, worth it only below half the size.

They are no longer signed once nobody needs them; their files go later (`Shelved`), for a device may be in the middle.

Source of the half: evidence of bsdiff 4 on an int8 model of 2.6 MB: a new head 0.4 %, fine-tuned at 1e-5 10 %, at 1e-4
33 %, at 1e-3 88 %; applying one costs the device time, and on any failure it fetches the whole file.
"""

import hashlib
import importlib.util
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from edge.errors import TrustError
from fleet.repository import ONLINE_DAYS, SignedBundle, SignedDelta, floors

FROM_VERSIONS = 2
"""From so many versions before the new one: the fleet's devices run these."""
NEWER_VERSIONS = 2
"""A difference to a version that has more newer ones is for nobody, unless a device is still on its way there."""
GRACE_S = ONLINE_DAYS * 86400.0
"""A file is served so long after the last targets that signed it: nobody believes a copy of these for longer."""
MOST_BYTES = 32 << 20
"""Of a bundle: making a difference takes about 17 times as much memory."""


@dataclass(frozen=True, slots=True)
class NewDelta:
    """The way from one published version to the one that is being published."""

    from_version: int
    from_sha256: str
    data: bytes

    @property
    def sha256(self) -> str:
        """Of the difference itself."""
        return hashlib.sha256(self.data).hexdigest()


def sources(bundles: Iterable[SignedBundle], model: str, version: int, target: str) -> tuple[SignedBundle, ...]:
    """The versions that devices come from, the newest first; pure."""
    mine = [
        item
        for item in bundles
        if (item.custom.model, item.custom.target) == (model, target)
        and item.custom.floor <= item.custom.version < version
        and item.size_bytes <= MOST_BYTES
    ]
    return tuple(sorted(mine, key=lambda item: -item.custom.version)[:FROM_VERSIONS])


def stale(
    bundles: Mapping[str, SignedBundle], deltas: Mapping[str, SignedDelta], pending: Collection[tuple[str, int]]
) -> tuple[str, ...]:
    """Paths of the differences that no device has a use for; pure.

    A device asks for one only when it is ordered the version that it leads to: not below the floor, nor long after
    newer ones, but for those `pending`: (model, version) that were ordered and do not run yet.
    """
    lowest = floors(dict(bundles))
    return tuple(path for path, delta in deltas.items() if _is_stale(delta, bundles.values(), lowest, pending))


def _is_stale(
    delta: SignedDelta,
    bundles: Iterable[SignedBundle],
    lowest: Mapping[str, int],
    pending: Collection[tuple[str, int]],
) -> bool:
    to = delta.custom
    if to.version < lowest.get(to.model, 0):
        return True
    newer = sum(
        (item.custom.model, item.custom.target) == (to.model, to.target) and item.custom.version > to.version
        for item in bundles
    )
    return newer > NEWER_VERSIONS and (to.model, to.version) not in pending


@dataclass(frozen=True, slots=True)
class Shelved:
    """Files of differences that are signed no more: since when (Unix seconds), and which of them may go now."""

    since_s: Mapping[str, float]
    due: tuple[str, ...]


def shelve(files: Collection[str], signed: Collection[str], since_s: Mapping[str, float], now_s: float) -> Shelved:
    """Decide from what lies there, what is signed, and what was noted before; pure.

    A file that no note speaks of is noted now, so a crash before a note, or before the targets that would have signed
    the file, only makes it stay longer. A note from a clock that was ahead becomes one of now.
    """
    noted = {path: min(since_s.get(path, now_s), now_s) for path in files if path not in signed}
    due = tuple(sorted(path for path, at_s in noted.items() if now_s - at_s >= GRACE_S))
    return Shelved({path: at_s for path, at_s in noted.items() if path not in due}, due)


def make_deltas(new: bytes, before: Iterable[SignedBundle], read: Callable[[SignedBundle], bytes]) -> list[NewDelta]:
    """Differences that are shorter than half of `new`; none where bsdiff4 is not installed.

    `read` fetches a published bundle. Raises: TrustError when it is not the one that was signed.
    """
    if importlib.util.find_spec("bsdiff4") is None or len(new) > MOST_BYTES:
        return []
    import bsdiff4

    made = []
    for item in before:
        old = read(item)
        if hashlib.sha256(old).hexdigest() != item.sha256:
            problem = f"{item.path} on the service is not what was signed"
            raise TrustError(problem, remedy="restore the service's artifacts from a backup")
        data: bytes = bsdiff4.diff(old, new)
        if 2 * len(data) < len(new):
            made.append(NewDelta(item.custom.version, item.sha256, data))
    return made
