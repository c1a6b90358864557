"""What each candidate lost, and how sure that is."""

from collections.abc import Sequence

from compiler.drop_bounds import upper95
from compiler.report.charts.axis import Axis, signed
from compiler.report.charts.point import Point, mark
from compiler.report.charts.svg import scale, svg, text

WIDTH, ROW, TOP = 560, 44, 24


def intervals(points: Sequence[Point], max_drop: float) -> str:
    """Drop of each candidate, from the lower end of its 95 % interval to the bound that the budget is held against."""
    bottom = TOP + ROW * len(points) + 8
    x = _axis(points, max_drop)
    allowed, zero = x.at(100 * max_drop), x.at(0)
    parts = [
        f'<rect class="refused" x="{allowed:.1f}" y="{TOP}" width="{x.end - allowed:.1f}" height="{bottom - TOP}"/>'
    ]
    parts += scale(x, TOP, bottom, signed)
    parts.append(f'<line class="zero" x1="{zero:.1f}" x2="{zero:.1f}" y1="{TOP}" y2="{bottom}"/>')
    parts.append(text(min(allowed, WIDTH - 24), 16, f"allowed: {100 * max_drop:g}", "note", "middle"))
    parts.append(text((x.start + x.end) / 2, bottom + 32, "lost against the float model, points", "axis", "middle"))
    for at, point in enumerate(points):
        parts += _interval(x, TOP + ROW * (at + 0.5), point)
    return svg(WIDTH, bottom + 36, "What every candidate lost, with 95 % intervals", parts)


def _axis(points: Sequence[Point], max_drop: float) -> Axis:
    """Wide enough for every interval, and for the budget on both sides of zero."""
    ends = [end for point in points for end in (point.measured.quality.ci95[0], upper95(point.measured))]
    low, high = 100 * min(-max_drop, *ends), 100 * max(max_drop, *ends)
    return Axis(low - 0.08 * (high - low), high + 0.08 * (high - low), 168, WIDTH - 20)


def _interval(x: Axis, py: float, point: Point) -> list[str]:
    quality = point.measured.quality
    left, right = x.at(100 * quality.ci95[0]), x.at(100 * upper95(point.measured))
    return [
        text(156, py + 4, point.name, point.label, "end"),
        f'<line class="interval {point.colour}" x1="{left:.1f}" x2="{right:.1f}" y1="{py}" y2="{py}"/>',
        mark(x.at(100 * quality.drop), py, point),
    ]
