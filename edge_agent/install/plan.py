"""From a configuration and the user's wishes to an `Installation`, with everything checked that can be."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import edge
from edge.errors import BadArgumentError, FileMissingError
from edge_agent.config import load_config
from edge_agent.install.access import access_of
from edge_agent.install.files import check_lasting, check_reach, command, on_device
from edge_agent.install.unit import Installation

_USER = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
"""Source: useradd(8)."""
LEAST_MEMORY_MIB = 128


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user may choose."""

    user: str
    memory_mib: int
    devices: tuple[str, ...]
    groups: tuple[str, ...]
    reboot: bool


def installation(config: Path, unsigned: Path | None, root: Path, python: Path | None, wishes: Wishes) -> Installation:
    """Read the configuration and check that a user of its own can run it.

    Raises: `BadArgumentError`, `FileMissingError`, `BadConfigError`.
    """
    _check(wishes)
    loaded = load_config(config)
    if unsigned is not None and not unsigned.is_file():
        raise FileMissingError(f"no bundle {unsigned}", remedy="name a file that `edge compile` wrote")
    bundle = unsigned.resolve() if unsigned else None
    needed = [config, *([bundle] if bundle else []), *(_program(python) if root == Path("/") else ())]
    for path in needed:
        check_reach(path, root)
    check_lasting(loaded.state_dir, root)
    at_home = [on_device(path, root) for path in (*needed, loaded.state_dir)]
    return Installation(
        device=loaded.device,
        user=wishes.user,
        command=command(on_device(config, root), on_device(bundle, root) if bundle else None, python),
        state_dir=on_device(loaded.state_dir, root),
        enrol=on_device(loaded.fleet.enrol, root) if loaded.fleet else None,
        access=access_of(loaded, wishes.devices, wishes.groups),
        start_s=loaded.loop.start_s,
        memory_mib=wishes.memory_mib,
        reads_home=any(path.is_relative_to(home) for path in at_home for home in ("/home", "/root")),
        watches_hardware=loaded.guard.watchdog is not None,
        realtime=0 if loaded.loop.priority is None else loaded.loop.priority + 1,  # the guard's
        reboot=wishes.reboot,
    )


def _program(python: Path | None) -> tuple[Path, ...]:
    """What the service runs: the interpreter, and this package unless the interpreter has one of its own."""
    return (python.absolute(),) if python else (Path(sys.executable), Path(edge.__file__))


def _check(wishes: Wishes) -> None:
    for name in (wishes.user, *wishes.groups):
        if not _USER.fullmatch(name):
            raise BadArgumentError(f"{name!r} cannot be a user or a group", remedy="use small letters, digits, _ and -")
    for device in wishes.devices:
        if not re.fullmatch(r"(/dev/|char-|block-)\S+( [rwm]{1,3})?", device):
            raise BadArgumentError(f"{device!r} names no device", remedy="write /dev/NAME, or a class: char-ttyUSB")
    if wishes.memory_mib < LEAST_MEMORY_MIB:
        raise BadArgumentError(
            f"{wishes.memory_mib} MiB are too few for an agent", remedy=f"give it {LEAST_MEMORY_MIB} or more"
        )
