"""A processor of its own for the loop that decides: what it needs stays in its caches, and nobody takes it from it."""

import os

from edge.errors import BadConfigError


def check_core(cpu: int) -> None:
    """Raise `BadConfigError` unless this process can run on processor `cpu`."""
    before = os.sched_getaffinity(0)
    move_to(cpu)
    os.sched_setaffinity(0, before)


def move_to(cpu: int) -> None:
    """Run on this processor from now on; raises `BadConfigError` if there is no such processor for us."""
    try:
        os.sched_setaffinity(0, {cpu})
    except OSError as exc:
        raise BadConfigError(
            f"loop.cpu: there is no processor {cpu} for this process", remedy=f"take one below {os.cpu_count()}"
        ) from exc


def keep_off(cpu: int | None) -> None:
    """Leave processor `cpu` to the loop, as will all that this process starts; share it where there is no other."""
    others = os.sched_getaffinity(0) - {cpu}
    if cpu is not None and others:
        os.sched_setaffinity(0, others)
