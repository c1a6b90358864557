"""One device over an hour, a day, a week or a month: how its machine was, beside how fast it decided. Pure."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fleet.dashboard.charts import Band, Line, Tick, line_chart
from fleet.dashboard.html import card, esc
from fleet.dashboard.model import History
from fleet.store_machines import MachineStep, MinuteSpan

QUARTER = 15
"""Minutes: no time zone is shifted by less."""
EDGE_SHARE = 0.03
"""A name so near to an end of the axis would leave the picture."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far back a page looks, and which moments its axis names."""

    name: str
    steps: int
    minutes_each: int
    names: Callable[[time.struct_time], bool]
    words: str
    """As `time.strftime` takes them."""


REACHES: Mapping[str, Reach] = {
    "hour": Reach("Hour", 60, 1, lambda at: at.tm_min % QUARTER == 0, "%H:%M"),
    "day": Reach("Day", 144, 10, lambda at: at.tm_hour % 4 == 0 and at.tm_min == 0, "%H:%M"),
    "week": Reach("Week", 168, 60, lambda at: at.tm_hour == at.tm_min == 0, "%a %d"),
    "month": Reach("Month", 180, 240, lambda at: at.tm_wday == at.tm_hour == at.tm_min == 0, "%a %d %b"),
}
DEFAULT = "day"
NAMED = 3
"""Switches that a legend names; the pointer names each."""


def span_of(reach: str, now_s: float) -> MinuteSpan:
    """The minutes of `REACHES[reach]`; steps begin at the same minutes whenever one looks: no picture flickers."""
    each, steps = REACHES[reach].minutes_each, REACHES[reach].steps
    until = (int(now_s // 60) // each + 1) * each
    return MinuteSpan(until - steps * each, steps, each)


def history_view(history: History, reach: str) -> str:
    """The section of a device's page, with links to the other reaches."""
    links = "".join(
        f'<a href="/device/{esc(history.device)}?span={key}" class="{"on" if key == reach else ""}">{each.name}</a>'
        for key, each in REACHES.items()
    )
    head = f'<div class="ew-head ew-over"><h1>Over time</h1><nav class="ew-nav">{links}</nav></div>'
    if not history.steps:
        why = "It was away, or its agent is of a release that does not tell."
        return f'{head}<div class="ew-empty">Nothing was heard of its machine in this time. {why}</div>'
    return f'{head}<div class="ew-two">{_charts(history, _ticks(history.span, REACHES[reach]))}</div>'


def _charts(history: History, ticks: list[Tick]) -> str:
    """What makes a device slow on the left, how slow it was on the right."""

    def chart(title: str, unit: str, *lines: Line, bands: tuple[Band, ...] = ()) -> str:
        known = any(value is not None for line in lines for value in line.values)
        body = line_chart(lines, unit=unit, ticks=ticks, bands=bands)
        return card(title, body if known else '<div class="ew-empty">this device does not say</div>')

    def line(name: str, pick: Callable[[MachineStep], float | None], colour: str = "--info") -> Line:
        return Line(name, history.every_step(pick), colour)

    latency = line("p95 of the slowest minute", lambda s: s.latency_p95_ms)
    fitted = line("fitted", lambda s: _gib(s.memory_mib), "--idle")
    return (
        chart("Temperature", "°C", line("highest", lambda s: s.temperature_c), bands=_bands(history))
        + chart("Inference and decision", "ms", latency, bands=_switches(history))
        + chart("Load", "", line("highest", lambda s: s.load))
        + chart("Decisions", "/s", line("per second", _per_second))
        + chart("Memory", "GiB", line("free, lowest", lambda s: _gib(s.memory_free_mib)), fitted)
        + chart("Disk", "GiB", line("free, lowest", lambda s: _gib(s.disk_free_mib)))
    )


def _bands(history: History) -> tuple[Band, ...]:
    """When the machine made itself slower, and when the agent did with less; only what happened."""
    slowed = sum(step.throttled for step in history.steps)
    spared = sum(step.spared for step in history.steps)
    ways = ", ".join(sorted({way for step in history.steps for way in step.ways.split(", ") if way}))
    return (
        *((_band(history, f"{ways}: {_minutes(slowed)}", lambda s: s.ways, "--stop"),) if slowed else ()),
        *((_band(history, f"spared by the agent: {_minutes(spared)}", _spared, "--warn"),) if spared else ()),
    )


def _switches(history: History) -> tuple[Band, ...]:
    """When another version took over: the other reason why a device got slow, or quick."""
    texts = [""] * history.span.steps
    for step, text in history.switches:
        texts[step] = f"{texts[step]}, {text}" if texts[step] else text
    named = ", ".join(text for _, text in history.switches[-NAMED:])
    more = len(history.switches) - NAMED
    name = f"{named}, and {more} before" if more > 0 else named
    return (Band(name, texts, "--go"),) if history.switches else ()


def _band(history: History, name: str, why: Callable[[MachineStep], str], colour: str) -> Band:
    reasons = [""] * history.span.steps
    for step in history.steps:
        reasons[step.step] = why(step)
    return Band(name, reasons, colour)


def _spared(step: MachineStep) -> str:
    return "fewer frames" if step.spared else ""


def _minutes(number: int) -> str:
    return f"{number:,} minute{'' if number == 1 else 's'}"


def _gib(mib: int | None) -> float | None:
    return None if mib is None else mib / 1024


def _per_second(step: MachineStep) -> float | None:
    return step.decisions / step.span_ms * 1000 if step.span_ms else None


def _ticks(span: MinuteSpan, reach: Reach) -> list[Tick]:
    """Local times; the value of a step lies in the middle of it."""
    ticks = []
    for minute in range(-(-span.since // QUARTER) * QUARTER, span.until, QUARTER):
        at = time.localtime(minute * 60)
        share = ((minute - span.since) / span.minutes_each - 0.5) / (span.steps - 1)
        if reach.names(at) and EDGE_SHARE <= share <= 1 - EDGE_SHARE:
            ticks.append(Tick(share, time.strftime(reach.words, at)))
    return ticks
