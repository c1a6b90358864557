"""Processor and priority of the loop that decides: what it needs stays in its caches, and nobody is served before it.

The guard uses this too, so it imports the standard library only.
"""

import os
from typing import Literal

from edge.errors import BadConfigError


class Placement:
    """Where a loop runs: apart while it loads, on `cpu` with real-time `priority` while it decides (None: no matter).

    One that waits for its turn, or has had it, runs with a lower real-time priority on the same processor: it need not
    move when its turn comes, and does not hold up the one that decides.
    """

    def __init__(self, cpu: int | None, priority: int | None) -> None:
        """Change nothing yet; raises `BadConfigError` if this process may not do what it will be asked for."""
        self._cpu, self._priority = cpu, priority
        self._state: Literal["apart", "leads", "follows"] = "apart"
        self._apart = os.sched_getaffinity(0)
        self.lead()
        self.leave()

    def lead(self) -> None:
        """From now on this loop decides; nothing happens if it did so before."""
        if self._state == "leads":
            return
        self._state = "leads"
        if self._cpu is not None:
            _move_to(self._cpu)
        if self._priority is not None:
            be_urgent(self._priority)

    def follow(self) -> None:
        """Another loop decides; nothing happens if it did so before."""
        if self._state == "follows":
            return
        self._state = "follows"
        if self._priority is None:
            os.sched_setaffinity(0, self._apart)
            return
        be_urgent(self._priority - 1)
        if self._cpu is not None:
            _move_to(self._cpu)

    def leave(self) -> None:
        """Run apart again: the kernel's work for a process that ends must not lie between two frames of another."""
        self._state = "apart"
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.sched_setaffinity(0, self._apart)


def keep_off(cpu: int | None) -> None:
    """Leave processor `cpu` to the loop, as will all that this process starts; share it where there is no other."""
    others = os.sched_getaffinity(0) - {cpu}
    if cpu is not None and others:
        os.sched_setaffinity(0, others)


def _move_to(cpu: int) -> None:
    try:
        os.sched_setaffinity(0, {cpu})
    except OSError as exc:
        raise BadConfigError(
            f"loop.cpu: there is no processor {cpu} for this process", remedy=f"take one below {os.cpu_count()}"
        ) from exc


def be_urgent(priority: int) -> None:
    """Be served before everybody of a lower real-time priority; raises `BadConfigError` without the right to it."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except PermissionError as exc:
        raise BadConfigError(
            "loop.priority: this user may not have a real-time priority",
            remedy="set LimitRTPRIO= for it, as `edge agent install` does, or leave loop.priority out",
        ) from exc
