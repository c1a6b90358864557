"""Before the first process starts: which bundle runs, and that no other agent runs here."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.errors import AgentError, FileMissingError
from edge_agent.config import AgentConfig
from edge_agent.plan import Boot


def choose_boot(config: AgentConfig, unsigned: Path | None) -> Boot:
    """The bundle that was named, else what lies in the slots.

    Raises: `FileMissingError`; `AgentError` where there is no model and no fleet that could send one.
    """
    if unsigned is not None:
        if not unsigned.is_file():
            raise FileMissingError(f"no bundle {unsigned}", remedy="name a file that `edge compile` wrote")
        return Boot(unsigned.resolve())
    if config.fleet is not None and not config.fleet.enrol.is_file():
        raise FileMissingError(
            f"no enrolment {config.fleet.enrol}", remedy=f"edge fleet enrol {config.device} -o {config.fleet.enrol}"
        )
    boot = Boot.from_slots(config)
    if boot.path is None and config.fleet is None:
        raise AgentError(
            f"no model in {config.state_dir}", remedy="name a bundle: --unsigned FILE; or a fleet, in the configuration"
        )
    return boot


@contextmanager
def only_one(state_dir: Path) -> Iterator[None]:
    """Hold the lock of `state_dir`; raises `AgentError` if another agent does. A killed agent's lock ends with it."""
    state_dir.mkdir(parents=True, exist_ok=True)
    fd = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise AgentError(
                f"another agent runs on {state_dir}", remedy="end it, or give this one a state_dir of its own"
            ) from exc
        yield
    finally:
        os.close(fd)
