"""One call in a forked process that is stopped when it hangs, whether it computes or waits."""

import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LIMIT_S = 60.0
"""By the clock, less the time that the process was ready to run and got no core: a busy machine is no hang."""
NOT_RETURNED = 99


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended; `code` is negative if a signal ended it."""

    code: int
    wall_s: float
    queued_s: float
    """Of `wall_s`: ready to run, and no core was free."""
    cpu_s: float
    peak_mib: float
    hung: bool


def call_in_child(call: Callable[[], int], place: Path, *, name: str) -> Ended:
    """Call with `place` as the working folder; what it prints goes to `NAME.stdout` and `NAME.stderr` there."""
    began_s = time.monotonic()
    child = os.fork()
    if child == 0:
        _be_child(call, place, name)
    hung, queued_s = _watch(child, began_s)
    _, status, usage = os.wait4(child, 0)
    return Ended(
        code=os.waitstatus_to_exitcode(status),
        wall_s=round(time.monotonic() - began_s, 2),
        queued_s=round(queued_s, 2),
        cpu_s=round(usage.ru_utime + usage.ru_stime, 2),
        peak_mib=round(usage.ru_maxrss / 1024, 1),
        hung=hung,
    )


def _be_child(call: Callable[[], int], place: Path, name: str) -> None:
    code = NOT_RETURNED
    try:
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


def _watch(child: int, began_s: float) -> tuple[bool, float]:
    """Return whether it had to be killed, and how long it was queued; it can still be waited for."""
    queued_s = 0.0
    while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        queued_s = _queued_s(child)
        if time.monotonic() - began_s - queued_s > LIMIT_S:
            os.kill(child, signal.SIGKILL)
            return True, queued_s
        time.sleep(0.02)
    return False, max(queued_s, _queued_s(child))


def _queued_s(process: int) -> float:
    """Source: Linux, Documentation/scheduler/sched-stats.rst: the second number is the time on a run queue, in ns."""
    try:
        return int(Path(f"/proc/{process}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):  # not Linux, or built without it: then all time counts
        return 0.0
