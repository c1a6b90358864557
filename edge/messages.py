"""Every MQTT payload but the pieces of `edge.chunks`: JSON, unknown fields ignored so that old and new can talk.

Times: `wall_ns` is Unix time, `mono_ns` is CLOCK_MONOTONIC of the boot named by `boot_id`.
"""

from typing import Annotated, Literal, TypeVar

import msgspec

from edge.chunks import CHUNK_BYTES
from edge.errors import BadMessageError
from edge.kept import ASKED_PICTURES, NAME_PATTERN, PICTURE_BYTES
from edge.topics import ID_PATTERN

T = TypeVar("T")
Id = Annotated[str, msgspec.Meta(pattern=ID_PATTERN)]
Millis = Annotated[float, msgspec.Meta(ge=0, lt=1e9)]
"""Refuses infinity; msgspec refuses NaN in JSON."""
Count = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
Nanos = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""Unix time in nanoseconds is about 2**61, more than a `Count` takes."""
Version = Annotated[int, msgspec.Meta(ge=1, lt=2**31)]
Number = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
"""Of a question: comes back with its answer."""
PieceBytes = Annotated[int, msgspec.Meta(ge=1, le=CHUNK_BYTES)]
PictureName = Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)]
PictureBytes = Annotated[int, msgspec.Meta(ge=1, le=PICTURE_BYTES)]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
Text = Annotated[str, msgspec.Meta(max_length=2000)]
Histogram = Annotated[tuple[Count, ...], msgspec.Meta(max_length=256)]

UpdateState = Literal[
    "IDLE", "OFFERED", "PRECHECK", "DOWNLOADING", "VERIFYING", "STAGED", "SELFTEST",
    "SWITCHED", "PROBATION", "COMMITTED", "ROLLED_BACK", "FAILED",
]  # fmt: skip


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all payloads."""


# --- device -> fleet ---------------------------------------------------------------------------


class Presence(Message, frozen=True, kw_only=True):
    """up/presence, retained, also the last will. A lower `session` than seen is stale and dropped."""

    online: bool
    boot_id: str
    session: Count


class ModelReport(Message, frozen=True, kw_only=True):
    """What one model on the device is doing, and why its last update ended as it did."""

    version: Count
    """Version that decides now; 0 when none."""
    state: UpdateState
    attempted: Count = 0
    """Version that `state` speaks of; 0 when no update was ever tried."""
    reason: Text = ""
    """Empty, or CODE: sentence (for example `CLOCK_WRONG: ...`)."""


class Reported(Message, frozen=True, kw_only=True):
    """up/reported, retained: what runs on the device."""

    models: dict[Id, ModelReport]
    target: Text = ""
    agent: Text = ""
    """Version of the agent."""


class UpdateStatus(Message, frozen=True, kw_only=True):
    """up/update: one transition of an update, as it happens."""

    model: Id
    version: Version
    state: UpdateState
    reason: Text = ""


class ChunkRequest(Message, frozen=True, kw_only=True):
    """up/ota/req: a piece of a file of the fleet's repository, where HTTP cannot be reached. See `edge.chunks`."""

    id: Number
    path: Annotated[str, msgspec.Meta(max_length=200)]
    """As over HTTP: `metadata/...` or `artifacts/...`."""
    offset: Count
    size_bytes: PieceBytes


class KeptPicture(Message, frozen=True, kw_only=True):
    """One picture that a device keeps; its bytes never change under its name."""

    name: PictureName
    size_bytes: PictureBytes
    sha256: Sha256


class PictureList(Message, frozen=True, kw_only=True):
    """up/cmd-result: the answer to `ListPictures`."""

    id: Number
    kept: Count = 0
    """Pictures that the device has."""
    pictures: Annotated[tuple[KeptPicture, ...], msgspec.Meta(max_length=ASKED_PICTURES)] = ()
    """The newest first: no more than were asked for, and than `edge.kept.ASKED_BYTES` hold."""
    refusal: Text = ""
    """Empty, or CODE: sentence (for example `NOT_SENT: ...`); then it names no picture."""


class MachineMinute(Message, frozen=True, kw_only=True, omit_defaults=True):
    """How the machine was, and what it did, since it last said so: the worst of about a minute. None: not known."""

    span_ms: Millis
    decisions: Count
    latency_p95_ms: Millis | None = None
    """Inference and decision; None without a decision."""
    temperature_c: Annotated[float, msgspec.Meta(gt=-274, lt=1000)] | None = None
    """Highest, of the hottest zone."""
    throttled: Annotated[tuple[Annotated[str, msgspec.Meta(max_length=64)], ...], msgspec.Meta(max_length=16)] = ()
    """Each way in which the machine made itself slower."""
    memory_mib: Count | None = None
    memory_free_mib: Count | None = None
    """Lowest."""
    load: Annotated[float, msgspec.Meta(ge=0, lt=1e6)] | None = None
    disk_free_mib: Count | None = None
    heat: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0
    """What the agent did without: 0 nothing, 1 frames, 2 the larger variant too; higher ones are for later releases."""


class WindowRow(Message, frozen=True, kw_only=True, tag="window", omit_defaults=True):
    """Totals of one model over one window of time (about a second): enough for every gate."""

    model: Id
    version: Version
    span_ms: Millis
    decisions: Count
    unsure: Count
    """Decisions whose score lay under the decider's floor."""
    labels: dict[str, Count]
    """Decisions by label, as the model (not the decider) saw them."""
    scores: Histogram
    """The decider's, counted by `edge.statistics.SCORE_EDGES`."""
    model_scores: Histogram = ()
    """The model's own by `edge.score`, counted by the edges of its bundle's baseline. Empty where a classifier's are
    `scores`, where nobody knows them, and from an agent that does not count them."""
    latency_us: Histogram
    """Counts by `edge.statistics.LATENCY_EDGES_US`: inference and decision."""
    age_ms: Histogram
    """Counts by `edge.statistics.AGE_EDGES_MS`: capture to applied by the guard."""
    actions: dict[str, Count]
    """Commands applied by the guard, by action, the safe state included."""
    dropped: Count = 0
    """Frames that were overtaken by a newer one before the loop read them."""
    max_gap_ms: Millis = 0.0
    """Longest time between two decisions that ended in this window."""
    machine: MachineMinute | None = None
    """Once a minute, in the first window of the minute; then the window may be one without a decision."""


class DecisionRow(Message, frozen=True, kw_only=True, tag="decision"):
    """One decision, sent when it differs from the one before (and now and then besides)."""

    model: Id
    version: Version
    frame: Count
    label: Text
    score: float
    action: Text
    age_ms: Millis
    latency_us: Millis


class EventRow(Message, frozen=True, kw_only=True, tag="event"):
    """Something a person may want to know: a fault, an anomaly, a step of an update."""

    kind: Text
    text: Text
    model: str = ""
    version: Count = 0


Body = WindowRow | DecisionRow | EventRow


class Row(Message, frozen=True, kw_only=True):
    """One row of telemetry. Its identity everywhere is (device, outbox_id, seq)."""

    seq: Count
    wall_ns: Nanos
    mono_ns: Nanos
    boot_id: str
    clock_ok: bool
    body: msgspec.Raw
    """One `Body`, decoded by the fleet row by row so that one bad row does not lose the batch."""


class Batch(Message, frozen=True, kw_only=True):
    """up/tlm: consecutive rows of one outbox."""

    outbox_id: Id
    first_seq: Count
    last_seq: Count
    rows: tuple[Row, ...]


# --- fleet -> device ---------------------------------------------------------------------------


class Wish(Message, frozen=True, kw_only=True):
    """One wanted version. A wish, never a proof: the device installs only what TUF signs."""

    version: Version
    order: Count = 0
    """Grows with every order, so that a version that was rolled back can be offered again."""


class Desired(Message, frozen=True, kw_only=True):
    """down/desired, retained: what the fleet wants to run."""

    models: dict[Id, Wish]


class Ack(Message, frozen=True, kw_only=True):
    """down/ack: rows first_seq..last_seq of this outbox are committed or quarantined; delete these."""

    outbox_id: Id
    first_seq: Count
    last_seq: Count


class ListPictures(Message, frozen=True, kw_only=True, tag="list-pictures"):
    """down/cmd: please name the pictures that you keep."""

    id: Number
    newest: Annotated[int, msgspec.Meta(ge=1, le=ASKED_PICTURES)]


class SendPicture(Message, frozen=True, kw_only=True, tag="send-picture"):
    """down/cmd: please send a piece of a picture that you named. See `edge.chunks`."""

    id: Number
    name: PictureName
    offset: Count
    size_bytes: PieceBytes


Command = ListPictures | SendPicture

MESSAGES: tuple[type[Message], ...] = (
    Presence, Reported, UpdateStatus, ChunkRequest, Batch, KeptPicture, PictureList,
    Desired, Ack, ListPictures, SendPicture,
)  # fmt: skip
"""All payloads, for the docs and for the fuzz tests."""


def scores_to_compare(
    model_scores: tuple[int, ...], scores: tuple[int, ...], *, edges: tuple[float, ...]
) -> tuple[int, ...]:
    """Counts of a `WindowRow`, or of many, that may be held against a bundle's baseline; empty where there are none.

    A classifier, whose bundle has no `edges` of its own, is known by its decider's scores where none are its own: so
    its agent, or an older one, says that they are the same.
    """
    return model_scores or (() if edges else scores)


def encode(message: msgspec.Struct) -> bytes:
    """Encode a payload as JSON."""
    return msgspec.json.encode(message)


def decode(kind: type[T], payload: bytes) -> T:
    """Decode a payload, or raise `BadMessageError`."""
    try:
        return msgspec.json.decode(payload, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        name = getattr(kind, "__name__", str(kind))
        raise BadMessageError(f"unreadable {name}: {exc}", remedy="run agent and fleet of one release") from exc
