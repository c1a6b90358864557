"""The update as a transition table: pure. `edge_agent.update.flow` does what each state asks and reports an `Event`.

OFFERED    look the version up in the fresh signed metadata
PRECHECK   is there room on the disk?
DOWNLOADING, VERIFYING (bytes, then the bundle in a child process), STAGED (into the spare slot)
SELFTEST   the standby loop loads it and reproduces its golden samples
SWITCHED   the standby loop decides
PROBATION  it must decide for a while without a fault
COMMITTED | ROLLED_BACK | FAILED
"""

from dataclasses import dataclass
from typing import Literal

import msgspec

from edge.messages import UpdateState, Wish
from edge_agent.update.boot import rolled_back
from edge_agent.update.journal import RESTING, BundleRecord, Entry, change

What = Literal["good", "here", "gone", "whole", "wait", "refused"]


@dataclass(frozen=True, slots=True)
class Event:
    """How a state's work ended. "whole": the difference did not do, fetch all of it; `record`: what OFFERED found.

    `reason`: CODE: sentence, of "wait", "whole" and "refused".
    """

    what: What
    reason: str = ""
    record: BundleRecord | None = None


class LocalWish(Wish, frozen=True, kw_only=True):
    """A wish of a person at the device: the version comes from `folder`. Its `order` means nothing."""

    folder: str


NEXT: dict[tuple[UpdateState, What], UpdateState] = {
    ("OFFERED", "good"): "PRECHECK",
    ("OFFERED", "wait"): "OFFERED",
    ("OFFERED", "refused"): "FAILED",
    ("PRECHECK", "good"): "DOWNLOADING",
    ("PRECHECK", "here"): "VERIFYING",
    ("PRECHECK", "refused"): "FAILED",
    ("DOWNLOADING", "good"): "VERIFYING",
    ("DOWNLOADING", "wait"): "DOWNLOADING",
    ("DOWNLOADING", "whole"): "DOWNLOADING",
    ("DOWNLOADING", "refused"): "FAILED",
    ("VERIFYING", "good"): "STAGED",
    ("VERIFYING", "gone"): "DOWNLOADING",
    ("VERIFYING", "whole"): "DOWNLOADING",
    ("VERIFYING", "refused"): "FAILED",
    ("STAGED", "good"): "SELFTEST",
    ("STAGED", "gone"): "DOWNLOADING",
    ("STAGED", "refused"): "FAILED",
    ("SELFTEST", "good"): "SWITCHED",
    ("SELFTEST", "refused"): "FAILED",
    ("SWITCHED", "good"): "PROBATION",
    ("SWITCHED", "refused"): "ROLLED_BACK",
    ("PROBATION", "good"): "COMMITTED",
    ("PROBATION", "refused"): "ROLLED_BACK",
}
"""Whatever is not here cannot happen, and is a KeyError."""


def is_news(entry: Entry, wish: Wish) -> bool:
    """Say whether a wish asks for anything: a version that failed is not tried again before a higher order.

    A person's wish counts whenever it differs from what runs, and the fleet's last order is then done with: the next
    one counts again.
    """
    if isinstance(wish, LocalWish):
        return wish.version != entry.running
    if entry.folder:
        return wish.order > entry.order
    if wish.order == entry.order:
        return wish.version != entry.attempted
    return wish.order > entry.order


def take_up(entry: Entry, wish: Wish) -> Entry:
    """The entry after a new wish; pure. The version that runs already is committed at once."""
    assert entry.state in RESTING  # noqa: S101 -- a wish waits until the update before it has ended
    here = wish.version == entry.running
    return change(
        entry,
        state="COMMITTED" if here else "OFFERED",
        attempted=wish.version,
        order=entry.order if isinstance(wish, LocalWish) else wish.order,
        folder=wish.folder if isinstance(wish, LocalWish) else "",
        incoming=None,
        boots=0,
        reason="",
    )


def decide(entry: Entry, event: Event) -> Entry:
    """The entry after a state's work has ended so; pure."""
    state = NEXT[entry.state, event.what]
    whole = entry.incoming and msgspec.structs.replace(entry.incoming, delta=None)
    if event.what == "whole":
        return change(entry, state=state, incoming=whole, reason=event.reason)
    match state:
        case "PRECHECK":
            return change(entry, state=state, incoming=event.record, reason="")
        case "STAGED":
            return change(entry.with_slot(entry.spare, whole), state=state)
        case "COMMITTED":
            return change(entry, state=state, active=entry.spare, incoming=None, boots=0, reason="")
        case "FAILED" | "ROLLED_BACK":
            return (_failed if state == "FAILED" else rolled_back)(entry, event.reason)
    return change(entry, state=state, reason=event.reason)


def _failed(entry: Entry, reason: str) -> Entry:
    """Give up before anything was switched. The spare slot keeps an older version, never the one that failed."""
    spare = entry.slot(entry.spare)
    if spare and spare.version == entry.attempted:
        entry = entry.with_slot(entry.spare, None)
    return change(entry, state="FAILED", incoming=None, reason=reason)
