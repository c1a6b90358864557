"""Candidates in a plane whose level axis is time."""

from collections.abc import Callable, Sequence

from compiler.report.charts.axis import Axis
from compiler.report.charts.point import Point
from compiler.report.charts.svg import text, turned

WIDTH, HEIGHT = 560, 330
LEFT, RIGHT, TOP, BOTTOM = 58, WIDTH - 20, 20, HEIGHT - 46
"""Pixels of the frame."""


def time_unit(slowest_ms: float) -> tuple[str, float]:
    """Unit of the axis, and how many of it a millisecond is."""
    return ("µs", 1000.0) if slowest_ms < 1 else ("ms", 1.0)


def frame(x: Axis, y: Axis, *, across: str, upward: str, words: Callable[[float], str]) -> list[str]:
    """Draw the grid, ticks and titles; `words` writes a tick of the upright axis."""
    parts = [f'<line class="grid" x1="{x.at(t):.1f}" x2="{x.at(t):.1f}" y1="{TOP}" y2="{BOTTOM}"/>' for t in x.ticks()]
    parts += [
        f'<line class="grid" x1="{LEFT}" x2="{RIGHT}" y1="{y.at(t):.1f}" y2="{y.at(t):.1f}"/>' for t in y.rising()
    ]
    parts += [text(x.at(tick), HEIGHT - 28, f"{tick:g}", "tick", "middle") for tick in x.ticks()]
    parts += [text(50, y.at(tick) + 4, words(tick), "tick", "end") for tick in y.rising()]
    parts.append(text((x.start + x.end) / 2, HEIGHT - 8, across, "axis", "middle"))
    parts.append(turned(14, (y.start + y.end) / 2, upward))
    return parts


class Names:
    """Writes each name where no other stands."""

    def __init__(self, taken: Sequence[tuple[float, float]] = ()) -> None:
        self._taken = list(taken)

    def beside(self, px: float, py: float, point: Point) -> str:
        """Write a name above its mark, or below it where another name stands."""
        half = 3.4 * len(point.name)
        lx = min(max(px, 62 + half), RIGHT - half)
        places = [py - 14, py + 24, py - 30, py + 40]
        free = [ly for ly in places if not any(abs(lx - ox) < 120 and abs(ly - oy) < 14 for ox, oy in self._taken)]
        ly = (free or places)[0]
        self._taken.append((lx, ly))
        return text(lx, ly, point.name, point.label, "middle")
