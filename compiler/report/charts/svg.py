"""The elements that drawings are made of; what is written into them is escaped here."""

from collections.abc import Callable, Sequence
from html import escape

from compiler.report.charts.axis import Axis


def svg(width: float, height: float, title: str, parts: Sequence[str], most: float | None = None) -> str:
    """Put parts together; `most`: pixels that the page draws it with, at most."""
    limit = f' style="max-width:{most:g}px"' if most else ""
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(title)}"{limit}>'
        + "".join(parts)
        + "</svg>"
    )


def text(x: float, y: float, words: str, style: str, anchor: str) -> str:
    """Write words; `anchor`: which end of them is at `x`."""
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def turned(x: float, y: float, words: str) -> str:
    """Write the title of an upright axis."""
    return f'<text class="axis" transform="translate({x} {y:.1f}) rotate(-90)" text-anchor="middle">{words}</text>'


def line(style: str, x1: float, x2: float, y: float) -> str:
    """Draw a level line."""
    return f'<line class="{style}" x1="{x1:.1f}" x2="{x2:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'


def scale(x: Axis, top: float, bottom: float, words: Callable[[float], str] = "{:g}".format) -> list[str]:
    """Draw the grid of a level axis, from `top` to `bottom`, and its ticks below."""
    parts = [
        f'<line class="grid" x1="{x.at(tick):.1f}" x2="{x.at(tick):.1f}" y1="{top}" y2="{bottom}"/>'
        for tick in x.ticks()
    ]
    return parts + [text(x.at(tick), bottom + 16, words(tick), "tick", "middle") for tick in x.ticks()]
