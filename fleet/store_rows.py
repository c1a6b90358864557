"""Telemetry rows on their way in and out of the database, one by one: a bad row is an error value, not a lost batch."""

from dataclasses import dataclass
from typing import Any

import msgspec

from edge.errors import BadMessageError
from edge.messages import Batch, Body, DecisionRow, EventRow, MachineMinute, Row, WindowRow, decode
from edge.statistics import AGE_EDGES_MS, LATENCY_EDGES_US, SCORE_EDGES

MAX_NAMES = 64
"""Labels or actions in one window."""
MAX_COUNT = 10**9
"""Of one bin of one window: sums of billions of windows stay below 2**63."""
MAX_BODY_CHARS = 2000
"""Of a quarantined row that is kept for people."""
MINUTE_NS = 60 * 10**9
AHEAD_NS, OLDEST_NS = MINUTE_NS, 30 * 86400 * 10**9
"""For us to believe a device's clock: how far it may be ahead of ours, and how long a row may have waited there."""
IDENTITY = ("device", "outbox_id", "seq", "received_ns")
BINS = {
    "scores": len(SCORE_EDGES) + 1,
    "model_scores": len(SCORE_EDGES) + 1,  # a bundle has as many edges, whatever they are
    "latency_us": len(LATENCY_EDGES_US) + 1,
    "age_ms": len(AGE_EDGES_MS) + 1,
}

Record = dict[str, Any]  # one row of a table, by column: the form SQLAlchemy takes


@dataclass(frozen=True, slots=True)
class Sorted:
    """One batch, split by table."""

    windows: list[Record]
    decisions: list[Record]
    events: list[Record]
    machines: list[Record]
    quarantine: list[Record]


def sort_rows(device: str, batch: Batch, received_ns: int) -> Sorted:
    """Decode every row of a batch; what cannot be read or makes no sense goes to quarantine with its reason."""
    out = Sorted([], [], [], [], [])
    for row in batch.rows:
        record: Record = {"device": device, "outbox_id": batch.outbox_id, "seq": row.seq, "received_ns": received_ns}
        try:
            if not batch.first_seq <= row.seq <= batch.last_seq:
                raise _bad(f"seq {row.seq} lies outside its batch {batch.first_seq}..{batch.last_seq}")
            body: WindowRow | DecisionRow | EventRow = decode(Body, bytes(row.body))  # type: ignore[arg-type]  # a union is no type to mypy
            record |= _stamps(row)
            _put(out, record, body)
        except BadMessageError as exc:
            text = bytes(row.body).decode("utf-8", "replace")[:MAX_BODY_CHARS]
            out.quarantine.append(
                {key: record[key] for key in IDENTITY} | {"reason": clean(exc.problem), "body": clean(text)}
            )
    return out


def _put(out: Sorted, record: Record, body: WindowRow | DecisionRow | EventRow) -> None:
    record["version"], record["model"] = body.version, clean(body.model)[:64]
    match body:
        case WindowRow():
            window = record | _window(body)
            out.machines.extend([_machine(record, body.machine)] if body.machine else [])
            out.windows.append(window)
        case DecisionRow():
            out.decisions.append(
                record
                | {"frame": body.frame, "label": clean(body.label), "score": body.score, "action": clean(body.action)}
                | {"age_ms": body.age_ms, "latency_us": body.latency_us}
            )
        case EventRow():
            out.events.append(record | {"kind": clean(body.kind), "text": clean(body.text)})


def _window(body: WindowRow) -> Record:
    """Columns of a window; raises BadMessageError for one that could not be added to others."""
    for name, bins in BINS.items():
        counts: tuple[int, ...] = getattr(body, name)
        if len(counts) not in (0, bins) or any(count > MAX_COUNT for count in counts):
            raise _bad(f"{name} has {len(counts)} bins or a count above {MAX_COUNT}, expected {bins} bins")
    for names in (body.labels, body.actions):
        if len(names) > MAX_NAMES or any(len(n) > 64 or c > MAX_COUNT for n, c in names.items()):
            raise _bad(f"a window with {len(names)} names, a long name, or a count above {MAX_COUNT}")
    if max(body.decisions, body.unsure, body.dropped) > MAX_COUNT:
        raise _bad(f"a count above {MAX_COUNT} in one window")
    columns: Record = {
        name: getattr(body, name) for name in ("span_ms", "decisions", "unsure", "dropped", "max_gap_ms")
    }
    return columns | {
        name: clean(msgspec.json.encode(getattr(body, name)).decode()) for name in ("labels", "actions", *BINS)
    }


def _machine(record: Record, said: MachineMinute) -> Record:
    """Columns of a minute, under the identity of the window that told it."""
    if said.decisions > MAX_COUNT:
        raise _bad(f"more than {MAX_COUNT} decisions since the minute before")
    columns = msgspec.structs.asdict(said) | {"throttled": clean(", ".join(said.throttled))}
    return {key: record[key] for key in IDENTITY} | columns | {"minute": _minute(record)}


def _minute(record: Record) -> int:
    """Minute of Unix time: the device's, if its clock can be right; else when the fleet received it."""
    received_ns, wall_ns = int(record["received_ns"]), int(record["wall_ns"])
    is_likely = record["clock_ok"] and received_ns - OLDEST_NS <= wall_ns <= received_ns + AHEAD_NS
    return (wall_ns if is_likely else received_ns) // MINUTE_NS


def _stamps(row: Row) -> Record:
    return {
        "wall_ns": row.wall_ns, "mono_ns": row.mono_ns, "boot_id": clean(row.boot_id)[:64], "clock_ok": row.clock_ok,
    }  # fmt: skip


def clean(text: str) -> str:
    """Drop NUL: PostgreSQL refuses it in text, and one character must not hold up a queue."""
    return text.replace("\0", "")


def _bad(problem: str) -> BadMessageError:
    return BadMessageError(problem, remedy="run agent and fleet of one release")
