"""Which class is taken for which."""

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from compiler.report.charts.classes import LONGEST_NAME, MOST_CLASSES, clipped
from compiler.report.charts.svg import svg, text, turned

Counts = NDArray[np.int64]  # [true class, decided class]


def confusion(counts: Counts, labels: Sequence[str]) -> str:
    """True class down, decided class across; shade is the share of the true class. Empty for very many classes."""
    classes = len(labels)
    if not 0 < classes <= MOST_CLASSES:
        return ""
    side = max(22, min(64, 480 // classes))
    longest = min(LONGEST_NAME, max(len(label) for label in labels))
    left, top = 30 + longest * 7, 34 + longest * 5
    width, height = left + side * classes + 40, top + side * classes + 8
    parts = [text(left + side * classes / 2, 14, "decided", "axis", "middle")]
    parts.append(turned(12, top + side * classes / 2, "true"))
    for row, label in enumerate(labels):
        short = clipped(label)
        parts.append(text(left - 8, top + side * (row + 0.5) + 4, short, "label", "end"))
        slant = f"translate({left + side * (row + 0.5) + 3:.1f} {top - 8}) rotate(-40)"
        parts.append(f'<text class="label" transform="{slant}">{escape(short)}</text>')
        parts += [
            _cell(left + side * column, top + side * row, side, counts, labels, row, column)
            for column in range(classes)
        ]
    return svg(width, height, "Confusion matrix", parts, most=min(width, 620))


def _cell(x: int, y: int, side: int, counts: Counts, labels: Sequence[str], row: int, column: int) -> str:
    """Draw one cell with its corner at `x`, `y`."""
    count, total = int(counts[row, column]), max(1, int(counts[row].sum()))
    share, kind = count / total, "right" if row == column else "wrong"
    title = f"{labels[row]} decided as {labels[column]}: {count} of {total}"
    tone = "count light" if kind == "right" and share > 0.55 else "count"
    number = text(x + side * 0.5 - 1, y + side * 0.5 + 4, str(count), tone, "middle") if count else ""
    return (
        f'<g><title>{escape(title)}</title><rect class="cell {kind}" x="{x}" y="{y}" width="{side - 2}" '
        f'height="{side - 2}" rx="3" style="--share:{_shade(share, kind):.3f}"/>{number}</g>'
    )


def _shade(share: float, kind: str) -> float:
    """Errors are rarer than hits, so their shade rises faster."""
    return share if kind == "right" else min(1.0, share**0.5 * 1.2)
