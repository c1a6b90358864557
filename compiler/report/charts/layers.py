"""What each layer alone costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from compiler.report.charts.axis import Axis
from compiler.report.charts.svg import scale, svg, text

WIDTH, ROW, TOP = 560, 22, 14
LONGEST_NAME = 26


@dataclass(frozen=True, slots=True)
class LayerBar:
    """One layer: decibels of the model's output with it alone in int8; `blamed`: it stands out."""

    name: str
    alone_db: float
    blamed: bool
    title: str
    """Words for the mouse."""


def layers(rows: Sequence[LayerBar]) -> str:
    """Noise that each layer alone brings to the output: the longer the bar, the more it costs."""
    if not rows:
        return ""
    left = 30 + 6.5 * min(LONGEST_NAME, max(len(one.name) for one in rows))
    bottom = TOP + ROW * len(rows)
    x = Axis(min(0.0, *(one.alone_db for one in rows)), max(0.0, *(one.alone_db for one in rows)) + 4, left, WIDTH - 60)
    parts = scale(x, 10, bottom)
    parts.append(
        text((x.start + x.end) / 2, bottom + 34, "SQNR of the output with it alone in int8, dB", "axis", "middle")
    )
    for at, one in enumerate(rows):
        parts += _bar(x, TOP + ROW * at, one)
    return svg(WIDTH, bottom + 40, "What each layer alone costs at the output", parts)


def _bar(x: Axis, top: float, one: LayerBar) -> list[str]:
    end = x.at(one.alone_db)
    style = "bar bad" if one.blamed else "bar"
    start, length = min(x.at(0), end), max(1.0, abs(end - x.at(0)))
    return [
        text(x.start - 10, top + 14, _tail(one.name), "label", "end"),
        f"<g><title>{escape(one.title)}</title>",
        f'<rect class="{style}" x="{start:.1f}" y="{top + 3}" width="{length:.1f}" height="14" rx="3"/></g>',
        text(end + 6, top + 14, f"{one.alone_db:.1f}", "tick", "start"),
    ]


def _tail(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else "…" + name[1 - LONGEST_NAME :]
