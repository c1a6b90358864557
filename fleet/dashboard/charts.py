"""SVG charts without a script: lines over the last minute, a histogram, stacked shares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fleet.dashboard.html import esc, figure

LABEL_COLOURS = ("--info", "--warn", "--idle", "--go", "--stop")
NAMED_COLOURS = {"red": "--stop", "stop": "--stop", "green": "--go", "go": "--go", "yellow": "--warn", "none": "--idle"}


@dataclass(frozen=True, slots=True)
class Line:
    """One series: values over equal steps of time, the last one now; None where nothing came."""

    name: str
    values: Sequence[float | None]
    colour: str = "--info"


@dataclass(frozen=True, slots=True)
class Tick:
    """A named moment of the time axis; `share`: 0 where it begins, 1 where it ends."""

    share: float
    text: str


@dataclass(frozen=True, slots=True)
class Band:
    """Steps of time in which something was so, shaded behind the lines."""

    name: str
    why: Sequence[str]
    """By step, shown at the pointer; empty: it was not so."""
    colour: str


LAST_MINUTE = (Tick(0.0, "a minute ago"), Tick(1.0, "now"))


def line_chart(
    lines: Sequence[Line],
    *,
    unit: str,
    ticks: Sequence[Tick] = LAST_MINUTE,
    bands: Sequence[Band] = (),
    width: int = 560,
    height: int = 150,
) -> str:
    """Lines with one scale from zero, or from below it in the frost, the top value named; `unit` is of all lines."""
    low, top = _scale([value for line in lines for value in line.values if value is not None])
    left, bottom, right = 6, height - 20, width - 54
    parts = [_band(band, left=left, right=right, bottom=bottom) for band in bands]
    parts += [
        f'<line x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="var(--line)"/>'
        f'<text x="{right + 6}" y="{y + 4:.1f}">{figure(low + (top - low) * share)} {esc(unit)}</text>'
        for share in (0.0, 0.5, 1.0)
        for y in (bottom - share * (bottom - 10),)
    ]
    parts += [_tick(tick, left=left, right=right, height=height) for tick in ticks]
    parts += [_path(line, left=left, right=right, bottom=bottom, top=top, low=low) for line in lines]
    named = [(line.name, line.colour) for line in lines] + [(band.name, band.colour) for band in bands]
    names = "".join(
        f'<span><i class="ew-dot" style="background:var({colour})"></i>{esc(name)}</span>' for name, colour in named
    )
    svg = f'<svg viewBox="0 0 {width} {height}" width="100%" role="img">{"".join(parts)}</svg>'
    return f'{svg}<div class="ew-legend">{names}</div>'


def sparkline(values: Sequence[float | None], *, colour: str = "--info", width: int = 190, height: int = 30) -> str:
    """A line without axes, for a card."""
    top = max((value for value in values if value is not None), default=0.0) * 1.1 or 1.0
    path = _path(Line("", values, colour), left=0, right=width, bottom=height - 2, top=top, head=2)
    return f'<svg viewBox="0 0 {width} {height}" width="100%" height="{height}" preserveAspectRatio="none">{path}</svg>'


def histogram(counts: Sequence[int], edges: Sequence[float], *, width: int = 560, height: int = 120) -> str:
    """Bars of equal width, one a bin; every fourth edge is named."""
    if not any(counts):
        return '<div class="ew-empty">nothing yet</div>'
    step, top, bottom = width / len(counts), max(counts), height - 18
    bars = [
        f'<rect x="{i * step + 1:.1f}" width="{step - 2:.1f}" y="{bottom - c / top * (bottom - 6):.1f}"'
        f' height="{c / top * (bottom - 6):.1f}" rx="2" fill="var(--info)"><title>{c}</title></rect>'
        for i, c in enumerate(counts)
    ]
    every = max(1, len(edges) // 6)
    names = [
        f'<text x="{(i + 1) * step:.1f}" y="{height - 3}" text-anchor="middle">{edge:g}</text>'
        for i, edge in enumerate(edges)
        if i % every == 0
    ]
    return f'<svg viewBox="0 0 {width} {height}" width="100%" role="img">{"".join(bars + names)}</svg>'


def shares(counts: Mapping[str, int]) -> str:
    """One bar cut into named shares."""
    total = sum(counts.values())
    if not total:
        return '<div class="ew-empty">nothing yet</div>'
    ordered = sorted(counts.items(), key=lambda item: item[0])
    colours = {name: label_colour(name, place) for place, (name, _) in enumerate(ordered)}
    bar = "".join(f'<i style="width:{100 * n / total:.2f}%;background:var({colours[x]})"></i>' for x, n in ordered)
    legend = "".join(
        f'<span><i class="ew-dot" style="background:var({colours[x]})"></i>{esc(x)} {100 * n / total:.0f} %</span>'
        for x, n in ordered
    )
    return f'<div class="ew-bar" style="height:14px">{bar}</div><div class="ew-legend">{legend}</div>'


def label_colour(name: str, place: int) -> str:
    """Labels that mean a colour get it; the others take turns."""
    return NAMED_COLOURS.get(name.lower(), LABEL_COLOURS[place % len(LABEL_COLOURS)])


def _scale(values: Sequence[float]) -> tuple[float, float]:
    """Value at the bottom and at the top of a picture; zero is always in it."""
    low, high = min((0.0, *values)) * 1.15, max((0.0, *values)) * 1.15
    return (low, high) if high > low else (0.0, 1.0)


def _tick(tick: Tick, *, left: float, right: float, height: float) -> str:
    """A name below the axis, and a line above it for a moment between its ends."""
    x = left + (right - left) * tick.share
    anchor = {0.0: "start", 1.0: "end"}.get(tick.share, "middle")
    name = f'<text x="{x:.1f}" y="{height - 4}" text-anchor="{anchor}">{esc(tick.text)}</text>'
    if anchor != "middle":
        return name
    return f'<line x1="{x:.1f}" x2="{x:.1f}" y1="10" y2="{height - 20}" stroke="var(--line)"/>{name}'


def _band(band: Band, *, left: float, right: float, bottom: float) -> str:
    """A shade behind every step in which it was so."""
    step = (right - left) / max(1, len(band.why) - 1)
    return "".join(
        f'<rect x="{max(left, left + (place - 0.5) * step):.1f}" y="10" width="{step:.1f}" height="{bottom - 10:.1f}"'
        f' fill="var({band.colour})" fill-opacity=".22"><title>{esc(why)}</title></rect>'
        for place, why in enumerate(band.why)
        if why
    )


def _path(
    line: Line, *, left: float, right: float, bottom: float, top: float, low: float = 0.0, head: float = 10
) -> str:
    """The polyline of one series, broken where a value is missing."""
    count = max(1, len(line.values) - 1)
    points, pen = [], "M"
    for place, value in enumerate(line.values):
        if value is None:
            pen = "M"
            continue
        x, y = left + (right - left) * place / count, bottom - (value - low) / (top - low) * (bottom - head)
        points.append(f"{pen}{x:.1f} {y:.1f}{'h0' if pen == 'M' else ''}")  # a dot, for a value between two gaps
        pen = "L"
    return (
        f'<path d="{" ".join(points)}" fill="none" stroke="var({line.colour})" stroke-width="1.8"'
        ' stroke-linejoin="round" stroke-linecap="round" vector-effect="non-scaling-stroke"/>'
    )
