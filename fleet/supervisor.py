"""Child processes: start, watch, start again, stop. Linux ends them when this process is killed."""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 30.0
STEADY_S = 60.0
"""A child that ran this long starts again at once."""
STOP_S = 10.0
_PR_SET_PDEATHSIG = 1
log = logging.getLogger("fleet.service")


@dataclass(slots=True)
class Child:
    """One child process. `reload` says that it reads its files again on SIGHUP."""

    name: str
    command: Sequence[str]
    reload: bool = False
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    wait_s: float = FIRST_WAIT_S
    due_s: float = field(default=0.0)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process is not None and self.process.poll() is None


class Supervisor:
    """Keeps its children running until `stop`; children stop in the reverse order of their start."""

    def __init__(self, children: Sequence[Child]) -> None:
        self.children = tuple(children)

    def start(self) -> None:
        """Start all."""
        for child in self.children:
            _start(child)

    def ended(self) -> list[Child]:
        """Those that are not running."""
        return [child for child in self.children if not child.running]

    def watch(self) -> None:
        """Start again what has ended, each time after a longer wait; call it a few times a second."""
        now_s = time.monotonic()
        for child in self.ended():
            if child.due_s == 0.0:
                steady = now_s - child.started_s > STEADY_S
                child.wait_s = FIRST_WAIT_S if steady else min(child.wait_s * 2, LONGEST_WAIT_S)
                child.due_s = now_s + child.wait_s
                code = child.process.returncode if child.process else None
                log.warning("%s ended (%s), starting it again in %.1f s", child.name, code, child.wait_s)
            elif now_s >= child.due_s:
                _start(child)

    def reload(self) -> None:
        """Let the children read their files again."""
        for child in self.children:
            if child.reload and child.running and child.process:
                child.process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        """End all: web and ingest first, so that the broker and control can finish what they hold."""
        for child in reversed(self.children):
            if child.running and child.process:
                child.process.terminate()
                try:
                    child.process.wait(STOP_S)
                except subprocess.TimeoutExpired:
                    log.warning("%s does not end, killing it", child.name)
                    child.process.kill()
                    child.process.wait()


def python(module: str, *arguments: str) -> list[str]:
    """Command of a child in Python; -P keeps a folder `fleet` or `edge` in the user's folder from being imported."""
    return [sys.executable, "-P", "-m", module, *arguments]


def _start(child: Child) -> None:
    # a group of its own: Ctrl-C in the terminal must reach us alone, or children end in the wrong order
    child.process = subprocess.Popen(
        list(child.command), stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(), process_group=0,
        preexec_fn=_end_with(os.getpid()) if sys.platform == "linux" else None,  # noqa: PLW1509  (we have one thread)
    )  # fmt: skip
    child.started_s, child.due_s = time.monotonic(), 0.0


class _end_with:  # noqa: N801  # a function with its values, called between fork and exec
    def __init__(self, parent: int) -> None:
        self._parent, self._libc = parent, ctypes.CDLL(None)

    def __call__(self) -> None:
        self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != self._parent:
            os._exit(0)
