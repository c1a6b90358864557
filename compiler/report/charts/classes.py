"""Classes that are decided right, before and after; how many of them can be drawn, and how their names are written."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from compiler.report.charts.axis import Axis
from compiler.report.charts.svg import line, scale, svg, text

WIDTH, ROW, TOP = 560, 26, 22
MOST_CLASSES = 24
"""More classes than this are not drawn one by one."""
LONGEST_NAME = 16


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


def by_class(rows: Sequence[ClassRow]) -> str:
    """Accuracy of each class, float and compiled, joined by a line that shows who lost. Empty for very many classes."""
    if not 0 < len(rows) <= MOST_CLASSES:
        return ""
    left = 30 + 7 * min(LONGEST_NAME, max(len(one.name) for one in rows))
    bottom = TOP + ROW * len(rows)
    lowest = min(min(one.reference, one.compiled) for one in rows)
    x = Axis(max(0.0, 100 * lowest - 6) if lowest > 0.2 else 0.0, 101.0, left, WIDTH - 16)
    parts = scale(x, 14, bottom)
    parts.append(text((x.start + x.end) / 2, bottom + 34, "decided right, % of the class", "axis", "middle"))
    for at, one in enumerate(rows):
        parts += _move(x, TOP + ROW * (at + 0.5) - 4, one)
    return svg(WIDTH, bottom + 40, "Accuracy of each class, float and compiled", parts)


def clipped(label: str) -> str:
    """Write the beginning of a long name."""
    return label if len(label) <= LONGEST_NAME else label[: LONGEST_NAME - 1] + "…"


def _move(x: Axis, py: float, one: ClassRow) -> list[str]:
    before, after = x.at(100 * one.reference), x.at(100 * one.compiled)
    style = "lost" if one.compiled < one.reference else "gained"
    return [
        text(x.start - 10, py + 4, clipped(one.name), "label", "end"),
        f"<g><title>{escape(one.title)}</title>{line('move ' + style, before, after, py)}",
        f'<circle class="ring" cx="{before:.1f}" cy="{py:.1f}" r="6"/>',
        f'<circle class="mark {style}" cx="{after:.1f}" cy="{py:.1f}" r="5"/></g>',
    ]
