"""What the devices wanted a person to know: faults, drift, steps of updates."""

from collections.abc import Sequence

from fleet.dashboard.html import chip, esc, moment, table
from fleet.dashboard.model import Event, FleetPage

TONES = {"fault": "stop", "anomaly": "warn", "drift": "warn", "update": "info", "outbox": "warn"}


def events_view(page: FleetPage) -> str:
    """The page of events, newest first."""
    head = (
        f'<div class="ew-head"><h1>Anomalies and events</h1><span class="ew-sub">newest {len(page.events)}</span></div>'
    )
    return f'{head}<section class="ew-card">{event_rows(page.events, page.now_s, with_device=True)}</section>'


def event_rows(events: Sequence[Event], now_s: float, *, with_device: bool) -> str:
    """A table of events."""
    if not events:
        return '<div class="ew-empty">Nothing has happened. That is good news.</div>'
    heads = [("", "time"), ("", "kind"), ("", "what")]
    if with_device:
        heads.insert(1, ("", "device"))
    return table(heads, [_row(event, now_s, with_device=with_device) for event in events])


def _row(event: Event, now_s: float, *, with_device: bool) -> list[tuple[str, str]]:
    """One event."""
    cells = [
        ("mono dim", moment(event.at_s, now_s)),
        ("", chip(event.kind, TONES.get(event.kind, ""))),
        ("", esc(event.text) + (f' <span class="dim">v{event.version}</span>' if event.version else "")),
    ]
    if with_device:
        cells.insert(1, ("", f'<a href="/device/{esc(event.device)}"><b>{esc(event.device)}</b></a>'))
    return cells
