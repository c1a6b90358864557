"""Tables and lines for a person, as rich draws them."""

import shutil
import sys
from io import StringIO

from rich.console import Console, RenderableType
from rich.table import Table

WORDS = {"", "candidate", "variant", "plan"}
"""Titles of columns that hold words."""


def table(*titles: str) -> Table:
    """Columns of words to the left, of numbers to the right."""
    made = Table(box=None, pad_edge=False, header_style="dim")
    for title in titles:
        made.add_column(title, justify="left" if title in WORDS else "right", no_wrap=title != "plan")
    return made


def render(content: RenderableType) -> str:
    """Return what rich would print on stdout, coloured only on a terminal."""
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else 120
    text = StringIO()
    Console(file=text, force_terminal=terminal, width=max(width, 100)).print(content, soft_wrap=False)
    return text.getvalue().rstrip()
