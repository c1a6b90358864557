"""Drawings as inline SVG: quality and loss against time, drops with their intervals, classes, layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from math import ceil, floor, log10

import numpy as np
from numpy.typing import NDArray

from compiler.budget import upper95
from compiler.measure import Measured

Counts = NDArray[np.int64]  # [true class, decided class]
CELL_CLASSES = 24
"""More classes than this are not drawn cell by cell."""


@dataclass(frozen=True, slots=True)
class Point:
    """One candidate with its name on the page."""

    name: str
    measured: Measured
    chosen: bool


@dataclass(frozen=True, slots=True)
class ClassRow:
    """Share of a class that is decided right, by the float and by the compiled model."""

    name: str
    reference: float
    compiled: float
    samples: int

    @property
    def title(self) -> str:
        """Words for the mouse."""
        return f"{self.name}: {self.reference:.1%} -> {self.compiled:.1%} of {self.samples}"


@dataclass(frozen=True, slots=True)
class LayerBar:
    """One layer: decibels of the model's output with it alone in int8; `blamed`: it stands out."""

    name: str
    alone_db: float
    blamed: bool
    title: str
    """Words for the mouse."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Maps values to pixels, with round ticks."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, most: int = 5) -> list[float]:
        """Round values inside the axis."""
        raw = (self.high - self.low) / most
        power = 10.0 ** floor(log10(raw))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
        first = ceil(self.low / step - 1e-9)
        return [step * k for k in range(first, floor(self.high / step + 1e-9) + 1)]


def scatter(points: Sequence[Point], metric: str, reference: float) -> str:
    """Quality over latency: up and left is better, but for an error; whiskers are the 10th to 90th percentile."""
    width, height = 560, 330
    slowest = max(point.measured.timing.high for point in points)
    unit, factor = ("µs", 1000.0) if slowest < 1 else ("ms", 1.0)
    shares = metric not in {"mae", "correlation"}
    scale = 100.0 if shares else 1.0
    values = [scale * point.measured.quality.compiled for point in points] + [scale * reference]
    room = max(0.005 * (scale if shares else max(map(abs, values))), (max(values) - min(values)) * 0.25, 1e-6)
    x = Axis(0, slowest * factor * 1.12, 58, width - 20)
    y = Axis(min(values) - room, min(100.0 + room / 4, max(values) + room), height - 46, 20)
    parts = [_grid(x, y, width, height)]
    parts += [_text(x.at(tick), height - 28, f"{tick:g}", "tick", "middle") for tick in x.ticks()]
    parts += [_text(50, y.at(tick) + 4, f"{tick:.4g}", "tick", "end") for tick in y.ticks()]
    parts.append(
        _text((x.start + x.end) / 2, height - 8, f"median latency on this workstation, {unit}", "axis", "middle")
    )
    parts.append(_turned(14, (y.start + y.end) / 2, f"{metric}, %" if shares else metric))
    line = y.at(scale * reference)
    parts.append(f'<line class="reference" x1="{x.start}" x2="{x.end}" y1="{line:.1f}" y2="{line:.1f}"/>')
    parts.append(
        _text(
            x.start + 6,
            line - 6,
            f"as given, in float: {f'{reference:.1%}' if shares else f'{reference:.4g}'}",
            "note",
            "start",
        )
    )
    taken: list[tuple[float, float]] = [(x.start + 70, line - 6)]
    for point in sorted(points, key=lambda one: -one.measured.quality.compiled):
        timing = point.measured.timing
        px, py = x.at(timing.ms * factor), y.at(scale * point.measured.quality.compiled)
        parts.append(_line("whisker", x.at(timing.low * factor), x.at(timing.high * factor), py))
        parts.append(_mark(px, py, point))
        parts.append(_label(px, py, point, width, taken))
    return _svg(width, height, "Quality against latency of every candidate", parts)


def pareto(points: Sequence[Point], core: str) -> str:
    """Points lost over the time predicted for the target, with the front: who has neither less loss nor less time.

    Whiskers are the interval of the prediction. Empty if nobody could predict.
    """
    timed = [(point, point.measured.predicted) for point in points]
    known = [(point, found.ms, found.low, found.high) for point, found in timed if found is not None]
    if not known:
        return ""
    width, height = 560, 330
    slowest = max(high for *_, high in known)
    unit, factor = ("µs", 1000.0) if slowest < 1 else ("ms", 1.0)
    drops = [100 * point.measured.quality.drop for point, *_ in known]
    room = max(0.25, (max(drops) - min(drops)) * 0.25)
    x = Axis(0, slowest * factor * 1.12, 58, width - 20)
    y = Axis(max(*drops, 0.0) + room, min(*drops, 0.0) - room, height - 46, 20)
    parts = [_grid(x, y, width, height, upright=_rising(y))]
    parts += [_text(x.at(tick), height - 28, f"{tick:g}", "tick", "middle") for tick in x.ticks()]
    parts += [
        _text(50, y.at(tick) + 4, f"{tick:+.3g}" if round(tick, 9) else "0", "tick", "end") for tick in _rising(y)
    ]
    parts.append(_text((x.start + x.end) / 2, height - 8, f"predicted for {core}, {unit}", "axis", "middle"))
    parts.append(_turned(14, (y.start + y.end) / 2, "lost, points"))
    places = [(x.at(ms * factor), y.at(100 * point.measured.quality.drop)) for point, ms, *_ in known]
    best = front([(ms, point.measured.quality.drop) for point, ms, *_ in known])
    parts.append(_steps([places[index] for index in best], x.end, y.start))
    taken: list[tuple[float, float]] = []
    marks = []
    for index in sorted(range(len(known)), key=lambda index: (not known[index][0].chosen, index)):
        (point, _, low, high), (px, py) = known[index], places[index]
        parts.append(_line("whisker", x.at(low * factor), x.at(high * factor), py))
        marks.append(_mark(px, py, point))
        parts.append(_label(px, py, point, width, taken))
    parts += reversed(marks)  # the chosen one is named first and lies on top
    return _svg(width, height, "Points lost against predicted time, with the Pareto front", parts)


def front(known: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the (cost, loss) that nothing beats in both, from cheap to dear."""
    kept: list[int] = []
    least = float("inf")
    for index in sorted(range(len(known)), key=lambda one: known[one]):
        if known[index][1] < least:
            kept.append(index)
            least = known[index][1]
    return kept


def layers(rows: Sequence[LayerBar]) -> str:
    """Noise that each layer alone brings to the output: the longer the bar, the more it costs."""
    if not rows:
        return ""
    row, width, left = 22, 560, 30 + 6.5 * min(26, max(len(one.name) for one in rows))
    bottom = 14 + row * len(rows)
    x = Axis(min(0.0, *(one.alone_db for one in rows)), max(0.0, *(one.alone_db for one in rows)) + 4, left, width - 60)
    parts = [f'<line class="grid" x1="{x.at(t):.1f}" x2="{x.at(t):.1f}" y1="10" y2="{bottom}"/>' for t in x.ticks()]
    parts += [_text(x.at(t), bottom + 16, f"{t:g}", "tick", "middle") for t in x.ticks()]
    parts.append(
        _text((x.start + x.end) / 2, bottom + 34, "SQNR of the output with it alone in int8, dB", "axis", "middle")
    )
    for at, one in enumerate(rows):
        top, end = 14 + row * at, x.at(one.alone_db)
        parts.append(_text(left - 10, top + 14, _tail(one.name), "label", "end"))
        style = "bar bad" if one.blamed else "bar"
        parts.append(f"<g><title>{escape(one.title)}</title>")
        start, length = min(x.at(0), end), max(1.0, abs(end - x.at(0)))
        parts.append(
            f'<rect class="{style}" x="{start:.1f}" y="{top + 3}" width="{length:.1f}" height="14" rx="3"/></g>'
        )
        parts.append(_text(end + 6, top + 14, f"{one.alone_db:.1f}", "tick", "start"))
    return _svg(width, bottom + 40, "What each layer alone costs at the output", parts)


def intervals(points: Sequence[Point], max_drop: float) -> str:
    """Drop of each candidate, from the lower end of its 95 % interval to the bound that the budget is held against."""
    row, width = 44, 560
    height = 34 + row * len(points) + 34
    ends = [end for point in points for end in (point.measured.quality.ci95[0], upper95(point.measured))]
    low, high = 100 * min(-max_drop, *ends), 100 * max(max_drop, *ends)
    x = Axis(low - 0.08 * (high - low), high + 0.08 * (high - low), 168, width - 20)
    bottom = height - 36
    allowed, zero = x.at(100 * max_drop), x.at(0)
    parts = [f'<rect class="refused" x="{allowed:.1f}" y="24" width="{x.end - allowed:.1f}" height="{bottom - 24}"/>']
    parts += [f'<line class="grid" x1="{x.at(t):.1f}" x2="{x.at(t):.1f}" y1="24" y2="{bottom}"/>' for t in x.ticks()]
    parts += [_text(x.at(t), bottom + 16, f"{t:+g}" if round(t, 9) else "0", "tick", "middle") for t in x.ticks()]
    parts.append(f'<line class="zero" x1="{zero:.1f}" x2="{zero:.1f}" y1="24" y2="{bottom}"/>')
    parts.append(_text(min(allowed, width - 24), 16, f"allowed: {100 * max_drop:g}", "note", "middle"))
    parts.append(_text((x.start + x.end) / 2, height - 4, "lost against the float model, points", "axis", "middle"))
    for at, point in enumerate(points):
        quality, py = point.measured.quality, 24 + row * (at + 0.5)
        left, right = x.at(100 * quality.ci95[0]), x.at(100 * upper95(point.measured))
        parts.append(_text(156, py + 4, point.name, "label strong" if point.chosen else "label", "end"))
        parts.append(f'<line class="interval {_colour(point)}" x1="{left:.1f}" x2="{right:.1f}" y1="{py}" y2="{py}"/>')
        parts.append(_mark(x.at(100 * quality.drop), py, point))
    return _svg(width, height, "What every candidate lost, with 95 % intervals", parts)


def by_class(rows: Sequence[ClassRow]) -> str:
    """Accuracy of each class, float and compiled, joined by a line that shows who lost. Empty for very many classes."""
    if not 0 < len(rows) <= CELL_CLASSES:
        return ""
    row, width, left = 26, 560, 30 + 7 * min(16, max(len(one.name) for one in rows))
    bottom = 22 + row * len(rows)
    lowest = min(min(one.reference, one.compiled) for one in rows)
    x = Axis(max(0.0, 100 * lowest - 6) if lowest > 0.2 else 0.0, 101.0, left, width - 16)
    parts = [f'<line class="grid" x1="{x.at(t):.1f}" x2="{x.at(t):.1f}" y1="14" y2="{bottom}"/>' for t in x.ticks()]
    parts += [_text(x.at(t), bottom + 16, f"{t:g}", "tick", "middle") for t in x.ticks()]
    parts.append(_text((x.start + x.end) / 2, bottom + 34, "decided right, % of the class", "axis", "middle"))
    for at, one in enumerate(rows):
        py = 22 + row * (at + 0.5) - 4
        before, after = x.at(100 * one.reference), x.at(100 * one.compiled)
        style = "lost" if one.compiled < one.reference else "gained"
        parts.append(_text(left - 10, py + 4, _short(one.name), "label", "end"))
        parts.append(f"<g><title>{escape(one.title)}</title>{_line('move ' + style, before, after, py)}")
        parts.append(f'<circle class="ring" cx="{before:.1f}" cy="{py:.1f}" r="6"/>')
        parts.append(f'<circle class="mark {style}" cx="{after:.1f}" cy="{py:.1f}" r="5"/></g>')
    return _svg(width, bottom + 40, "Accuracy of each class, float and compiled", parts)


def _tail(name: str) -> str:
    return name if len(name) <= 26 else "…" + name[-25:]


def _short(label: str) -> str:
    return label if len(label) <= 16 else label[:15] + "…"


def confusion(counts: Counts, labels: Sequence[str]) -> str:
    """True class down, decided class across; shade is the share of the true class. Empty for very many classes."""
    classes = len(labels)
    if not 0 < classes <= CELL_CLASSES:
        return ""
    side = max(22, min(64, 480 // classes))
    longest = max(len(label) for label in labels)
    left, top = 30 + min(longest, 16) * 7, 34 + min(longest, 16) * 5
    width, height = left + side * classes + 40, top + side * classes + 8
    totals = np.maximum(counts.sum(axis=1), 1)
    parts = [_text(left + side * classes / 2, 14, "decided", "axis", "middle")]
    parts.append(_turned(12, top + side * classes / 2, "true"))
    for row, label in enumerate(labels):
        short = _short(label)
        parts.append(_text(left - 8, top + side * (row + 0.5) + 4, short, "label", "end"))
        slant = f"translate({left + side * (row + 0.5) + 3:.1f} {top - 8}) rotate(-40)"
        parts.append(f'<text class="label" transform="{slant}">{escape(short)}</text>')
        for column in range(classes):
            count = int(counts[row, column])
            share = count / int(totals[row])
            kind = "right" if row == column else "wrong"
            title = f"{label} decided as {labels[column]}: {count} of {int(totals[row])}"
            parts.append(
                f'<g><title>{escape(title)}</title><rect class="cell {kind}" x="{left + side * column}" '
                f'y="{top + side * row}" width="{side - 2}" height="{side - 2}" rx="3" '
                f'style="--share:{_shade(share, kind):.3f}"/>'
            )
            if count:
                tone = "count light" if kind == "right" and share > 0.55 else "count"
                parts.append(
                    _text(left + side * (column + 0.5) - 1, top + side * (row + 0.5) + 4, str(count), tone, "middle")
                )
            parts.append("</g>")
    return _svg(width, height, "Confusion matrix", parts, most=min(width, 620))


def _shade(share: float, kind: str) -> float:
    """Errors are rarer than hits, so their shade rises faster."""
    return share if kind == "right" else min(1.0, share**0.5 * 1.2)


def _mark(px: float, py: float, point: Point) -> str:
    style = f"mark {_colour(point)}" + (" chosen" if point.chosen else "")
    if point.measured.candidate.runtime == "onnxruntime":
        return f'<rect class="{style}" x="{px - 6:.1f}" y="{py - 6:.1f}" width="12" height="12" rx="2"/>'
    return f'<circle class="{style}" cx="{px:.1f}" cy="{py:.1f}" r="7"/>'


def _label(px: float, py: float, point: Point, width: float, taken: list[tuple[float, float]]) -> str:
    """Write a name above its mark, or below it where another name stands."""
    half = 3.4 * len(point.name)
    lx = min(max(px, 62 + half), width - 20 - half)
    places = [py - 14, py + 24, py - 30, py + 40]
    free = [ly for ly in places if not any(abs(lx - ox) < 120 and abs(ly - oy) < 14 for ox, oy in taken)]
    ly = (free or places)[0]
    taken.append((lx, ly))
    return _text(lx, ly, point.name, "label strong" if point.chosen else "label", "middle")


def _colour(point: Point) -> str:
    return "int8" if point.measured.candidate.dtype == "int8" else "float"


def _rising(axis: Axis) -> list[float]:
    """Ticks of an axis that may run downward."""
    return Axis(min(axis.low, axis.high), max(axis.low, axis.high), 0, 1).ticks()


def _steps(places: Sequence[tuple[float, float]], right: float, bottom: float) -> str:
    """A front as stairs: between two forms there is nothing better than the cheaper one."""
    corners = [(places[0][0], bottom), places[0]]
    for (_, before), (px, py) in pairwise(places):
        corners += [(px, before), (px, py)]
    corners.append((right, places[-1][1]))
    return f'<polyline class="front" points="{" ".join(f"{px:.1f},{py:.1f}" for px, py in corners)}"/>'


def _grid(x: Axis, y: Axis, width: float, height: float, *, upright: Sequence[float] | None = None) -> str:
    lines = [
        f'<line class="grid" x1="{x.at(t):.1f}" x2="{x.at(t):.1f}" y1="20" y2="{height - 46}"/>' for t in x.ticks()
    ]
    lines += [
        f'<line class="grid" x1="58" x2="{width - 20}" y1="{y.at(t):.1f}" y2="{y.at(t):.1f}"/>'
        for t in (y.ticks() if upright is None else upright)
    ]
    return "".join(lines)


def _text(x: float, y: float, text: str, style: str, anchor: str) -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _turned(x: float, y: float, text: str) -> str:
    return f'<text class="axis" transform="translate({x} {y:.1f}) rotate(-90)" text-anchor="middle">{text}</text>'


def _line(style: str, x1: float, x2: float, y: float) -> str:
    return f'<line class="{style}" x1="{x1:.1f}" x2="{x2:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _svg(width: float, height: float, title: str, parts: Sequence[str], most: float | None = None) -> str:
    limit = f' style="max-width:{most:g}px"' if most else ""
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(title)}"{limit}>'
        + "".join(parts)
        + "</svg>"
    )
