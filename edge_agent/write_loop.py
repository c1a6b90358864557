"""Writes chosen settings of the loop into a configuration file: all of it at once, or nothing."""

import os
import tempfile
from pathlib import Path

from edge.errors import BadConfigError
from edge_agent.choose_loop import settings_of
from edge_agent.config import LoopConfig, load_config
from edge_agent.edit_loop import edit_loop

EVERY_KEY = LoopConfig(threads=2, cpu=0, priority=2, rehearse_ms=1.0, rehearse_inference=True)


def write_loop(path: Path, chosen: LoopConfig) -> None:
    """Put the chosen settings into the file; its owner, its mode and all else that it says stay.

    Raises: `BadConfigError` if it cannot be edited without changing something else.
    """
    target = path.resolve()  # a link stays one
    text = edit_loop(_read(target), chosen, path.name)
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    fresh = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode())
            file.flush()
            _look_like(target, descriptor)
            os.fsync(descriptor)
        _must_say(fresh, chosen)
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Raise what `write_loop` would raise, before time is spent on measuring."""
    target = path.resolve()
    edit_loop(_read(target), EVERY_KEY, path.name)
    if not os.access(target.parent, os.W_OK):
        raise BadConfigError(
            f"the folder of {path.name} cannot be written to", remedy="leave out --write, or run it as its owner"
        )


def _read(path: Path) -> str:
    """With the ends of lines as they are; that it is UTF-8 was seen when it was loaded."""
    return path.read_bytes().decode("utf-8")


def _look_like(target: Path, descriptor: int) -> None:
    """Owner first, for a change of owner may change the mode."""
    theirs, ours = target.stat(), os.fstat(descriptor)
    if (theirs.st_uid, theirs.st_gid) != (ours.st_uid, ours.st_gid):
        os.fchown(descriptor, theirs.st_uid, theirs.st_gid)
    os.fchmod(descriptor, theirs.st_mode & 0o7777)


def _must_say(fresh: Path, chosen: LoopConfig) -> None:
    """Read it as the agent will."""
    if settings_of(load_config(fresh).loop) != settings_of(chosen):
        raise BadConfigError(f"{fresh.name} does not say what was chosen", remedy="write the loop's line yourself")
