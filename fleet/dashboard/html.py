"""Small pieces of HTML. Everything that came from a device passes `esc`: a device id or a reason is hostile text."""

import time
from collections.abc import Iterable
from html import escape

TONES = {
    "DONE": "go", "COMMITTED": "go", "pass": "go",
    "ROLLED_BACK": "stop", "FAILED": "stop", "ROLLING_BACK": "stop", "ABORTED": "stop", "stop": "stop",
    "PAUSED": "warn", "PROBATION": "warn",
    "CANARY": "info", "WAVE": "info", "APPROVED": "info", "DOWNLOADING": "info", "SWITCHED": "info", "SELFTEST": "info",
}  # fmt: skip
"""State or verdict -> the one colour it has everywhere; anything else is neutral."""


def esc(value: object) -> str:
    """Make text safe inside an element or an attribute."""
    return escape(str(value), quote=True)


def chip(text: str, tone: str = "") -> str:
    """A small rounded label; `tone` is go, stop, warn, info or empty."""
    return f'<span class="ew-chip{f" chip-{tone}" if tone else ""}">{esc(text)}</span>'


def state_chip(state: str) -> str:
    """The label of an update or rollout state, in its colour."""
    return chip(state.replace("_", " ").lower(), TONES.get(state, ""))


def fact(name: str, value: str, unit: str = "") -> str:
    """A named figure of a strip."""
    small = f"<small>{esc(unit)}</small>" if unit else ""
    words = " words" if len(value) > 9 else ""
    return f'<div><div class="ew-k">{esc(name)}</div><div class="ew-v{words}">{esc(value)}{small}</div></div>'


def strip(facts: Iterable[str]) -> str:
    """A row of figures."""
    return f'<div class="ew-strip">{"".join(facts)}</div>'


def table(heads: Iterable[tuple[str, str]], rows: Iterable[Iterable[tuple[str, str]]]) -> str:
    """A table from (css class, already safe html) cells."""
    head = "".join(f'<th class="{kind}">{text}</th>' for kind, text in heads)
    body = "".join("<tr>" + "".join(f'<td class="{kind}">{text}</td>' for kind, text in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def card(title: str, body: str) -> str:
    """A titled panel."""
    return f'<section class="ew-card"><h2>{esc(title)}</h2>{body}</section>'


def ago(then_s: float, now_s: float) -> str:
    """How long ago, in words that fit a card."""
    gap = max(0.0, now_s - then_s)
    if gap < 90:
        return f"{gap:.0f} s ago"
    if gap < 5400:
        return f"{gap / 60:.0f} min ago"
    return f"{gap / 3600:.0f} h ago" if gap < 172800 else f"{gap / 86400:.0f} days ago"


def clock(at_s: float) -> str:
    """Local time of day."""
    return time.strftime("%H:%M:%S", time.localtime(at_s))


def moment(at_s: float, now_s: float) -> str:
    """Local time of day, with the day unless it is today."""
    at, now = time.localtime(at_s), time.localtime(now_s)
    return clock(at_s) if at[:3] == now[:3] else time.strftime("%a %d %b %H:%M", at)


def figure(value: float) -> str:
    """Three significant digits, never in scientific notation."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
