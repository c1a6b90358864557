"""Makes the environment of its own that a tool needs: once, in the user's cache folder, with pinned releases."""

import fcntl
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from edge.environments import Environment
from edge.errors import MissingExtraError

INSTALL_S = 3600


def make_environment(wanted: Environment, progress: Callable[[str], None]) -> Path:
    """Return its Python; the first call makes it, which takes minutes.

    Raises: MissingExtraError, with what pip said.
    """
    if wanted.is_made:
        return wanted.python
    base = check_machine(wanted)
    wanted.folder.parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{wanted.folder}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another compilation may be making it
        if not wanted.is_made:
            progress(f"installing {wanted.tool} into {wanted.folder}, once: {wanted.size}")
            _run(wanted, [base, "-m", "venv", "--clear", str(wanted.folder)])
            pip = [str(wanted.python), "-m", "pip", "install", "--quiet", "--no-compile", "--only-binary=:all:"]
            _run(wanted, [*pip, *wanted.pins])
            wanted.marker.write_text("\n".join(wanted.pins))
    return wanted.python


def check_machine(wanted: Environment) -> str:
    """Return a Python that the environment can be made with, before any work is spent.

    Raises: MissingExtraError, if it is not made and cannot be made here.
    """
    if wanted.is_made:
        return str(wanted.python)
    machine = platform.machine()
    if machine not in wanted.machines or sys.platform != "linux":
        problem = f"{wanted.tool} runs on Linux on {' or '.join(wanted.machines)}; this is {sys.platform} on {machine}"
        raise MissingExtraError(problem, remedy=f"compile on such a machine, a virtual one too; {_remedy(wanted)}")
    return find_python(wanted)


def find_python(wanted: Environment) -> str:
    """Find a Python that all pins have wheels for: this one, else another on the PATH.

    Raises: MissingExtraError.
    """
    if sys.version_info[:2] in wanted.pythons:
        return sys.executable
    found = (shutil.which(f"python{major}.{minor}") for major, minor in reversed(wanted.pythons))
    python = next((path for path in found if path), None)
    if python is None:
        problem = f"{wanted.tool} has no wheels for Python {sys.version_info.major}.{sys.version_info.minor}"
        raise MissingExtraError(problem, remedy=_remedy(wanted))
    return python


def _run(wanted: Environment, command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_S)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise MissingExtraError(f"{wanted.tool} cannot be installed: {exc}", remedy=_remedy(wanted)) from exc
    if done.returncode != 0:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        errors = [line for line in said if line.startswith("ERROR")] or said or ["it said nothing"]
        raise MissingExtraError(f"{wanted.tool} cannot be installed: {errors[0]}", remedy=_remedy(wanted))


def _remedy(wanted: Environment) -> str:
    first, last = (f"{major}.{minor}" for major, minor in (wanted.pythons[0], wanted.pythons[-1]))
    return (
        f"give it Python {first} to {last} on 64-bit Linux, {wanted.size}, and a way to PyPI or a mirror "
        "(pip's own settings hold); or choose a CPU target"
    )
