"""Quality over the time that was measured here."""

from collections.abc import Sequence

from compiler.report.charts.axis import Axis
from compiler.report.charts.plane import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Names, frame, time_unit
from compiler.report.charts.point import Point, mark
from compiler.report.charts.svg import line, svg, text

NO_SHARES = frozenset({"mae", "correlation"})
"""Metrics that are not written in percent."""


def scatter(points: Sequence[Point], metric: str, reference: float) -> str:
    """Quality over latency: up and left is better, but for an error; whiskers are the 10th to 90th percentile."""
    slowest = max(point.measured.timing.high for point in points)
    unit, factor = time_unit(slowest)
    shares = metric not in NO_SHARES
    scale = 100.0 if shares else 1.0
    x = Axis(0, slowest * factor * 1.12, LEFT, RIGHT)
    y = _quality_axis([scale * point.measured.quality.compiled for point in points] + [scale * reference], shares)
    parts = frame(
        x,
        y,
        across=f"median latency on this workstation, {unit}",
        upward=f"{metric}, %" if shares else metric,
        words="{:.4g}".format,
    )
    level = y.at(scale * reference)
    parts += _reference(x, level, f"{reference:.1%}" if shares else f"{reference:.4g}")
    names = Names([(x.start + 70, level - 6)])
    for point in sorted(points, key=lambda one: -one.measured.quality.compiled):
        timing = point.measured.timing
        px, py = x.at(timing.ms * factor), y.at(scale * point.measured.quality.compiled)
        parts.append(line("whisker", x.at(timing.low * factor), x.at(timing.high * factor), py))
        parts.append(mark(px, py, point))
        parts.append(names.beside(px, py, point))
    return svg(WIDTH, HEIGHT, "Quality against latency of every candidate", parts)


def _quality_axis(values: Sequence[float], shares: bool) -> Axis:
    """Leave some room around the values, but hardly any above 100 %."""
    room = max(0.005 * (100.0 if shares else max(map(abs, values))), (max(values) - min(values)) * 0.25, 1e-6)
    return Axis(min(values) - room, min(100.0 + room / 4, max(values) + room), BOTTOM, TOP)


def _reference(x: Axis, level: float, value: str) -> list[str]:
    """Draw where the float model is."""
    return [
        f'<line class="reference" x1="{x.start}" x2="{x.end}" y1="{level:.1f}" y2="{level:.1f}"/>',
        text(x.start + 6, level - 6, f"as given, in float: {value}", "note", "start"),
    ]
