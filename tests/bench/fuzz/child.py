"""One call in a forked process, with limits on its processor time and on the wall clock."""

import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LIMIT_CPU_S = 60
"""A hang that computes: this much work is one on any machine, however busy."""
LIMIT_WALL_S = 300.0
"""A hang that waits. A call that ended between 60 s and this is a fault, too, and is run again by the next run."""
NOT_RETURNED = 99


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended; `code` is negative if a signal ended it."""

    code: int
    wall_s: float
    cpu_s: float
    peak_mib: float
    hung: bool


def call_in_child(call: Callable[[], int], place: Path, *, name: str) -> Ended:
    """Call with `place` as the working folder; what it prints goes to `NAME.stdout` and `NAME.stderr` there."""
    began_s = time.monotonic()
    child = os.fork()
    if child == 0:
        _be_child(call, place, name)
    status, usage = _wait(child, began_s + LIMIT_WALL_S)
    code = os.waitstatus_to_exitcode(status)
    return Ended(
        code=code,
        wall_s=round(time.monotonic() - began_s, 2),
        cpu_s=round(usage.ru_utime + usage.ru_stime, 2),
        peak_mib=round(usage.ru_maxrss / 1024, 1),
        hung=code in {-signal.SIGXCPU, -signal.SIGKILL},
    )


def _be_child(call: Callable[[], int], place: Path, name: str) -> None:
    code = NOT_RETURNED
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_CPU_S, LIMIT_CPU_S + 5))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, stream in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(place / f"{name}.{stream}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC), number)
        os.chdir(place)
        code = call()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _wait(child: int, limit_s: float) -> tuple[int, resource.struct_rusage]:
    while time.monotonic() < limit_s:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if ended:
            return status, usage
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    return status, usage
