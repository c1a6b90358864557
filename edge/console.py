"""What a command prints: its result on stdout, everything else on stderr; log lines that journald can rank."""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import msgspec

_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
"""Source: syslog(3) levels, as sd-daemon(3) reads them from a `<N>` prefix."""
_verbosity = 0


class Advance(Protocol):
    """Moves a progress bar."""

    def __call__(self, steps: float = 1) -> None:
        """Say that `steps` more are done."""


def setup(verbosity: int = 0) -> None:
    """Prepare logging for a command: -1 quiet (errors only), 0 warnings, 1 info (-v), 2 and more debug (-vv)."""
    global _verbosity  # noqa: PLW0603 - the one process-wide setting of a command
    _verbosity = verbosity
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _JournalFormatter() if under_journald() else logging.Formatter("%(levelname)s %(name)s: %(message)s")
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel({-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO}.get(min(verbosity, 2), logging.DEBUG))


def verbosity() -> int:
    """What `setup` was told."""
    return _verbosity


def under_journald() -> bool:
    """Say whether stderr goes to the journal. Source: systemd.exec(5), $JOURNAL_STREAM is DEVICE:INODE."""
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def say(text: str) -> None:
    """Tell a person something on stderr; silent with -q."""
    if _verbosity >= 0:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


@contextmanager
def progress(label: str, total: float | None = None) -> Iterator[Advance]:
    """A progress bar on stderr for anything over two seconds; yields a function that moves it.

    Silent when stderr is not a terminal, and with -q. `total` None: the bar only shows that something happens.
    """
    if _verbosity < 0 or not sys.stderr.isatty():
        yield _still
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total)

        def advance(steps: float = 1) -> None:
            bar.advance(task, steps)

        yield advance


def emit(result: Any, json: bool, text: str | Callable[[], str]) -> None:  # noqa: ANN401 - anything msgspec encodes
    """Print a command's result on stdout: `result` (a Struct, dataclass or dict) as one JSON object, or `text`."""
    if json:
        sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    else:
        sys.stdout.write((text if isinstance(text, str) else text()).rstrip("\n") + "\n")
    sys.stdout.flush()


def table(headers: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Align rows of words under headers; plain text, so that it can be piped."""
    lines = [headers, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    return "\n".join(
        "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _still(steps: float = 1) -> None:
    """Move no bar."""


class _JournalFormatter(logging.Formatter):
    """`<N>name: message`, the priority in front of every line of the message."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{_PRIORITY.get(record.levelno, 6)}>"
        text = f"{record.name}: {super().format(record)}"
        return "\n".join(prefix + line for line in text.splitlines())
