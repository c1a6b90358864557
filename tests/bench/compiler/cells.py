"""One cell: a model and a peer in one setting, a process with a time limit whose result is kept as JSON."""

import os
import re
import resource
import signal
import subprocess
import time
from pathlib import Path

import msgspec

LIMIT_S = 300
"""Of CPU: on a busy machine, five minutes by the clock would measure the others."""
PATIENCE_S = 4 * LIMIT_S
"""By the clock, for what waits and computes nothing."""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it."""

    state: str
    """done, timeout, failed, or none: there is nothing to run."""
    seconds: float = 0.0
    cpu_s: float | None = None
    """Of all its threads; a busy machine lengthens `seconds`, hardly this. None: not known."""
    memory_mib: float = 0.0
    """Largest resident set of the process and its children."""
    reason: str = ""
    """Why there is no file."""


def remembered(path: Path) -> Cell | None:
    """A result that is there already."""
    return msgspec.json.decode(path.read_bytes(), type=Cell) if path.exists() else None


def keep(path: Path, cell: Cell) -> Cell:
    """Write a result down."""
    path.write_bytes(msgspec.json.encode(cell))
    return cell


def run(words: list[str], log: Path, environment: dict[str, str] | None = None) -> Cell:
    """Run a process to its end, or to the limit, which its children inherit, each for itself."""
    started = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(
            words,
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        resource.prlimit(process.pid, resource.RLIMIT_CPU, (LIMIT_S, LIMIT_S + 5))
        status, usage = _wait(process.pid, started)
    seconds = round(time.monotonic() - started, 1)
    cpu_s, memory = round(usage.ru_utime + usage.ru_stime, 1), round(usage.ru_maxrss / 1024, 1)
    if status is None or status in {-signal.SIGXCPU, -signal.SIGKILL}:
        reason = f"more than {PATIENCE_S} s" if status is None else f"more than {LIMIT_S} s of CPU, or of all memory"
        return Cell(state="timeout", seconds=seconds, cpu_s=cpu_s, memory_mib=memory, reason=reason)
    if status != 0:
        return Cell(state="failed", seconds=seconds, cpu_s=cpu_s, memory_mib=memory, reason=_last_words(log))
    return Cell(state="done", seconds=seconds, cpu_s=cpu_s, memory_mib=memory)


def _wait(pid: int, started: float) -> tuple[int | None, resource.struct_rusage]:
    """Status and usage of a child; status None if it was stopped at the limit."""
    while time.monotonic() - started < PATIENCE_S:
        found, status, usage = os.wait4(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status), usage
        time.sleep(0.05)
    os.killpg(pid, 9)
    return None, os.wait4(pid, 0)[2]


def _last_words(log: Path) -> str:
    """The last line that names an error, without paths."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    named = [line for line in lines if re.match(r"^(\w+\.)*\w*(Error|Exception|Fail)\w*\b", line)]
    last = (named or lines or ["ended without a word"])[-1]
    return re.sub(r"(/[\w.+-]+){2,}", "...", last)[:100]
