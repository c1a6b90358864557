"""Orders of a person at the device: `edge update FOLDER`, or a folder that the configuration names to be watched.

The command leaves `run/order.json` and waits for `run/order-answer.json`. With no fleet to say which version comes
next, it is the newest one that is signed for this model and target, not below the floor, and there; a watched folder
never brings an older one.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from edge.errors import TrustError
from edge_agent.update.folder_remote import STAMP
from edge_agent.update.journal import Entry
from edge_agent.update.refusal import WAITING, code_of
from edge_agent.update.steps import LocalWish

AGAIN_S = 20.0
MAX_PATH = 500
"""Of the folder's path: it goes into the journal's page."""


class LocalOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`run/order.json`. `version` 0: the newest."""

    id: str
    folder: str
    version: int = 0


class LocalAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """`run/order-answer.json`: taken up at `wall_ns`, or refused with a problem (CODE: sentence)."""

    id: str
    wall_ns: int
    version: int = 0
    problem: str = ""


def order_path(state_dir: Path) -> Path:
    """Where the command leaves its order."""
    return state_dir / "run" / "order.json"


def answer_path(state_dir: Path) -> Path:
    """Where it finds the answer."""
    return state_dir / "run" / "order-answer.json"


def write_whole(path: Path, message: msgspec.Struct) -> None:
    """Replace a file on tmpfs, so that nobody reads half of it."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.write_bytes(msgspec.json.encode(message))
    fresh.replace(path)


class LocalOrders:
    """What `edge_agent.update.flow.Flow` looks at while it waits. The update's thread only."""

    def __init__(
        self, state_dir: Path, watched: Path | None, *,
        entry: Callable[[], Entry], newest: Callable[[Path], int],
    ) -> None:  # fmt: skip
        """`newest` finds the newest version in a folder that may be installed, or raises TrustError."""
        self._state_dir, self._watched, self._entry, self._newest = state_dir, watched, entry, newest
        self._taken: LocalOrder | None = None
        self._seen: tuple[int, int] | None = None
        self._again_s = float("inf")
        """When a stick is looked at again that had to wait, for the clock for example."""

    def look(self) -> LocalWish | None:
        """The wish of a person, if there is one."""
        return self._ordered() or self._found()

    def told(self, entry: Entry) -> None:
        """An entry is in the journal: if it takes the order up, whoever waits for it may look on."""
        if self._taken is not None and entry.folder == self._taken.folder:
            self._answer(self._taken, entry.attempted)
            self._taken = None

    def _ordered(self) -> LocalWish | None:
        path = order_path(self._state_dir)
        try:
            order = msgspec.json.decode(path.read_bytes(), type=LocalOrder)
        except FileNotFoundError:
            return None
        except (msgspec.MsgspecError, UnicodeDecodeError, OSError):
            path.unlink(missing_ok=True)
            return None
        path.unlink(missing_ok=True)
        try:
            version = order.version or self._newest(Path(order.folder))
        except TrustError as exc:
            self._answer(order, 0, exc.problem)
            return None
        if version == self._entry().running:
            self._answer(order, version)
            return None
        self._taken = order
        return LocalWish(version=version, folder=order.folder)

    def _found(self) -> LocalWish | None:
        """A watched folder that is new, or has changed, and holds a higher version than the one that runs."""
        if self._watched is None:
            return None
        try:
            stat = (self._watched / STAMP).lstat()
        except OSError:
            self._seen = None  # pulled out: the same stick counts again when it comes back
            return None
        seen = (stat.st_mtime_ns, stat.st_size)
        if seen == self._seen and time.monotonic() < self._again_s:
            return None
        self._seen, self._again_s = seen, float("inf")
        try:
            version = self._newest(self._watched)
        except TrustError as exc:  # somebody else's stick; or what passes: a wrong clock, a stick that is pulled out
            if code_of(exc.problem) in WAITING:
                self._again_s = time.monotonic() + AGAIN_S
            return None
        entry = self._entry()
        failed = entry.attempted == version and bool(entry.folder)
        return LocalWish(version=version, folder=str(self._watched)) if version > entry.running and not failed else None

    def _answer(self, order: LocalOrder, version: int, problem: str = "") -> None:
        answer = LocalAnswer(id=order.id, wall_ns=time.time_ns(), version=version, problem=problem)
        write_whole(answer_path(self._state_dir), answer)
