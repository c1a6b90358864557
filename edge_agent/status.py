"""What the agent says of itself on the device: `state_dir/run/status.json`, replaced once a second, on tmpfs."""

import os
import tempfile
from pathlib import Path

import msgspec

from edge.errors import AgentError
from edge_agent.link import CaptureBeat, GuardBeat, SensorsBeat
from edge_agent.watch.health import MachineHealth

TMPFS = Path("/dev/shm")  # noqa: S108 - the folder made in it is our own, mode 0700
STALE_S = 5.0
"""A status older than this comes from an agent that hangs or is gone."""


class ProcessStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One process of the agent."""

    pid: int
    """0 while it is down."""
    restarts: int
    trouble: str
    """Why it was last started again; empty if it never was."""


class AgentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`status.json`, by the supervisor."""

    wall_ns: int
    pid: int
    device: str
    model: str
    version: int
    """Version that decides; 0 when none does."""
    bundle: str
    epoch: int
    processes: dict[str, ProcessStatus]
    capture: CaptureBeat | None
    """As it last said; None until it has."""
    guard: GuardBeat | None
    health: MachineHealth | None
    """None until the machine was looked at."""
    heat: str
    """What the agent does without because of heat."""
    sensors: SensorsBeat | None = None
    """None where no sensors are configured, or their process has not spoken yet."""
    boot_reason: str
    """Empty, or why another version runs than was expected."""


def kept_folder(state_dir: Path) -> Path:
    """Where the pictures lie of which the model was not sure."""
    return state_dir / "kept"


def run_folder(state_dir: Path) -> Path:
    """Make `state_dir/run`, a link to a folder on tmpfs: a file written each second would wear an SD card out.

    A folder that is there already is kept. Where there is no tmpfs, a plain folder is made.
    """
    run = state_dir / "run"
    if run.is_dir():
        return run
    state_dir.mkdir(parents=True, exist_ok=True)
    run.unlink(missing_ok=True)  # the link of an earlier boot, whose folder is gone
    place = os.environ.get("RUNTIME_DIRECTORY") or TMPFS  # systemd's own for us, on tmpfs and removed by it
    if os.access(place, os.W_OK):
        run.symlink_to(tempfile.mkdtemp(prefix="edge-run-", dir=place))
    else:
        run.mkdir()
    return run


def remove_run_folder(state_dir: Path) -> None:
    """Leave nothing on tmpfs after a clean end."""
    run = state_dir / "run"
    if run.is_symlink():
        for file in run.iterdir():
            file.unlink()
        run.resolve().rmdir()
        run.unlink()


def write_status(folder: Path, status: AgentStatus) -> None:
    """Replace `status.json`, whole or not at all."""
    fresh = folder / "status.json.new"
    fresh.write_bytes(msgspec.json.encode(status))
    fresh.replace(folder / "status.json")


def read_status(state_dir: Path) -> AgentStatus:
    """Read `status.json`; raises `AgentError` when no agent runs on `state_dir`."""
    try:
        return msgspec.json.decode((state_dir / "run" / "status.json").read_bytes(), type=AgentStatus)
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise AgentError(f"no agent runs on {state_dir}", remedy="start one: edge run CONFIG.yaml") from exc
    except msgspec.MsgspecError as exc:
        raise AgentError(f"{state_dir} was written by another release: {exc}", remedy="start the agent again") from exc
