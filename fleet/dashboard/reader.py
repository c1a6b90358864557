"""The read model: asks the store and the API at most once a second, however many people look."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from fleet.dashboard.history_view import span_of
from fleet.dashboard.model import Decision, DevicePage, Event, FleetPage, History, Point
from fleet.rollout_state import RolloutState
from fleet.store import Store
from fleet.store_machines import MinuteSpan
from fleet.store_read import StoredDecision, StoredEvent, StoredUpdate, StoredWindow
from fleet.views import DeviceView

MINUTE_NS = 60 * 10**9
SHOWN = 60
"""Cards on the first page: more is a list, not a picture."""
HISTORY_S = 10.0
"""A minute is told once a minute."""
UPDATES = 1000
"""Newest steps of updates that a history looks at: about a hundred updates."""
SWITCHES = {"SWITCHED": "took over", "ROLLED_BACK": "rolled back"}
HISTORIES = 64
"""Kept for the next who looks."""


class StoreReader:
    """Reads the telemetry database; `rollouts` gives every rollout, newest first."""

    def __init__(self, store: Store, rollouts: Callable[[], Sequence[RolloutState]], *, max_age_s: float = 0.9) -> None:
        self._store, self._rollouts, self._max_age_s = store, rollouts, max_age_s
        self._lock = threading.Lock()
        self._page: FleetPage | None = None
        self._histories: dict[tuple[str, str], tuple[float, History]] = {}

    def fleet(self) -> FleetPage:
        """Everything, at most `max_age_s` old."""
        with self._lock:
            if self._page is None or time.time() - self._page.now_s > self._max_age_s:
                self._page = self._read()
            return self._page

    def device(self, name: str) -> DevicePage | None:
        """One device in full; None when nobody knows it."""
        view = next((view for view in self._store.devices() if view.id == name), None)
        if view is None:
            return None
        decisions = tuple(_decision(row) for row in self._store.decisions(name, 30))
        return replace(self._card(view, time.time_ns()), decisions=decisions, events=self._events(name))

    def history(self, name: str, reach: str) -> History | None:
        """How a device was over one of `history_view.REACHES`, at most `HISTORY_S` old; None when nobody knows it."""
        key, now_s = (name, reach), time.time()
        with self._lock:
            at_s, kept = self._histories.get(key, (0.0, None))
            if kept is not None and 0 <= now_s - at_s < HISTORY_S:
                return kept
        if all(view.id != name for view in self._store.devices()):
            return None
        span = span_of(reach, now_s)
        switches = _switches(self._store.updates(UPDATES, name), span)
        read = History(name, span, self._store.machine(name, span), switches)
        with self._lock:
            self._histories.pop(key, None)
            while len(self._histories) >= HISTORIES:
                del self._histories[next(iter(self._histories))]
            self._histories[key] = now_s, read
        return read

    def _read(self) -> FleetPage:
        now_ns = time.time_ns()
        views = sorted(self._store.devices(), key=lambda view: (not view.online, view.id))
        latest = self._store.latest_decisions(now_ns - MINUTE_NS)
        cards = [
            replace(self._card(view, now_ns), decisions=(_decision(latest[view.id]),) if view.id in latest else ())
            for view in views[:SHOWN]
        ]
        rest = [DevicePage(view) for view in views[SHOWN:]]
        return FleetPage(
            now_s=now_ns / 1e9,
            devices=[*cards, *rest],
            shown=SHOWN,
            rollouts=tuple(self._rollouts()),
            events=self._events(None),
        )

    def _card(self, view: DeviceView, now_ns: int) -> DevicePage:
        """A device with its last minute of telemetry."""
        windows = self._store.windows(view.id, now_ns - MINUTE_NS, 240)
        return DevicePage(view, points=tuple(_point(window) for window in windows))

    def _events(self, device: str | None) -> tuple[Event, ...]:
        """Events and steps of updates of one device or of all, newest first.

        A device tells each step of an update at once and keeps it as an event too; what came both ways is shown once.
        """
        rows = self._store.events(60, device)
        twice = {(row.device, row.version, row.text.partition(" ")[0]) for row in rows if row.kind == "update"}
        told = [_event(row) for row in rows]
        steps = [
            Event(
                row.received_ns / 1e9, row.device, "update", f"{row.model} {_words(row.state, row.reason)}", row.version
            )
            for row in self._store.updates(60, device)
            if (row.device, row.version, row.state) not in twice
        ]
        return tuple(sorted((*told, *steps), key=lambda event: -event.at_s)[:60])


def _switches(updates: Sequence[StoredUpdate], span: MinuteSpan) -> tuple[tuple[int, str], ...]:
    """When another version took over, by step."""
    at = [((row.received_ns // MINUTE_NS - span.since) // span.minutes_each, row) for row in updates]
    return tuple(
        (step, f"v{row.version} {SWITCHES[row.state]}")
        for step, row in reversed(at)
        if row.state in SWITCHES and 0 <= step < span.steps
    )


def _words(state: str, reason: str) -> str:
    """A step of an update, for people."""
    step = state.replace("_", " ").lower()
    return f"{step}: {reason}" if reason else step


def _point(window: StoredWindow) -> Point:
    sums = window.sums
    return Point(
        at_s=window.received_ns / 1e9,
        version=window.version,
        span_ms=sums.span_ms,
        decisions=sums.decisions,
        unsure=sums.unsure,
        labels=sums.labels,
        scores=sums.scores,
        latency_us=sums.latency_us,
        age_ms=sums.age_ms,
    )


def _decision(row: StoredDecision) -> Decision:
    return Decision(
        at_s=row.received_ns / 1e9,
        version=row.version,
        frame=row.frame,
        label=row.label,
        score=row.score,
        action=row.action,
        age_ms=row.age_ms,
        latency_ms=row.latency_us / 1000,
    )


def _event(row: StoredEvent) -> Event:
    text = _words(*row.text.partition(" ")[::2]) if row.kind == "update" else row.text
    return Event(row.received_ns / 1e9, row.device, row.kind, text, row.version)
