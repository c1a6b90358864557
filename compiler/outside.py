"""Runs a tool that is not ours as a program, with a time limit, and keeps what it says."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.errors import BadModelError, MissingExtraError

TIMEOUT_S = 600
SIMPLER = "simplify the network, or choose a CPU target"


@dataclass(frozen=True, slots=True)
class Said:
    """How a program ended."""

    code: int
    out: str
    err: str

    @property
    def both(self) -> str:
        """Everything that it printed."""
        return self.out + self.err

    @property
    def last_line(self) -> str:
        """The last thing it said; of a traceback that is the error."""
        return last_line(self.err) or last_line(self.out) or "it printed nothing"


def call(command: Sequence[str], *, tool: str, folder: Path | None = None, timeout_s: float = TIMEOUT_S) -> Said:
    """Run a program to its end; what its exit code means is the caller's to say.

    Raises: MissingExtraError if it cannot be started; BadModelError if it gives no answer in time.
    """
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=plain_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as exc:
        raise BadModelError(f"{tool} gave no answer within {timeout_s:g} s", remedy=SIMPLER) from exc
    except OSError as exc:
        raise cannot_start(tool, exc) from exc
    return Said(done.returncode, done.stdout, done.stderr)


def cannot_start(tool: str, exc: OSError) -> MissingExtraError:
    """Say that a program is not there, or not to be run."""
    return MissingExtraError(f"{tool} cannot be started: {exc}", remedy="install it anew; `edge doctor` says how")


def plain_environment() -> dict[str, str]:
    """Return our environment, less what would make another program's packages ours or its output differ."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
        "PYTHONHASHSEED": "0",
        "LC_ALL": "C.UTF-8",
    }


def last_line(text: str) -> str:
    """Return the last line with something in it, or nothing."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
