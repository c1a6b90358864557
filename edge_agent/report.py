"""`edge status`: what the supervisor and the uplink wrote last, as one object or a few lines."""

import os
import time
from pathlib import Path

import msgspec

from edge.errors import AgentError
from edge_agent.status import STALE_S, AgentStatus, kept_folder, read_status
from edge_agent.uplink.spec import UplinkStatus, status_path
from edge_agent.watch.health import describe as describe_health


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """Pictures of which the model was not sure."""

    pictures: int
    size_bytes: int
    folder: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What `edge status --json` prints."""

    agent: AgentStatus
    update: UplinkStatus | None
    """None where no fleet is configured, or its process has not written yet."""
    frame_age_ms: float
    """Capture to applied, of the last command that the guard carried out; 0 before the first one."""
    kept: Kept
    clock: str
    """"ok", "wrong" (no update starts), or "unchecked" without a fleet."""


def look(place: Path) -> Report:
    """Read both files; `place` is the agent's state folder or its configuration.

    Raises: `AgentError` when no agent runs there, or it hangs.
    """
    state_dir = find_state_dir(place)
    agent = read_status(state_dir)
    silent_s = (time.time_ns() - agent.wall_ns) / 1e9
    if not _alive(agent.pid):
        raise AgentError(f"the agent on {state_dir} was killed", remedy="start it again: edge run CONFIG.yaml")
    if silent_s > STALE_S:
        raise AgentError(f"the agent on {state_dir} has been silent for {silent_s:.0f} s", remedy="restart it")
    update = _update(state_dir)
    clock = "unchecked" if update is None or not update.fleet else "ok" if update.clock_ok else "wrong"
    age_ms = agent.guard.age_ms if agent.guard else 0.0
    return Report(agent=agent, update=update, frame_age_ms=age_ms, kept=_kept(state_dir), clock=clock)


def describe(report: Report) -> str:
    """For people: one line for each question."""
    agent, guard, capture = report.agent, report.agent.guard, report.agent.capture
    model = f"{agent.model} version {agent.version} ({agent.bundle})" if agent.version else f"{agent.model}: none yet"
    lines = [
        f"device     {agent.device}",
        f"model      {model}{f'; {agent.boot_reason}' if agent.boot_reason else ''}",
        f"update     {_told(report.update)}",
        f"outbox     {_outbox(report.update)}",
        f"frames     {f'{capture.frame} captured, {capture.dropped} dropped' if capture else 'none yet'}"
        f"{f'; {capture.trouble}' if capture and capture.trouble else ''}",
        f"frame age  {report.frame_age_ms:.1f} ms when last applied",
    ]
    if guard is not None:
        refused = guard.refused_stale + guard.refused_epoch + guard.refused_order
        lines.append(
            f"guard      {guard.action}{' (safe state)' if guard.safe else ''}; {guard.applied} commands applied, "
            f"{refused} refused, {guard.safe_stops} times made safe"
        )
    lines += [
        f"sensor     {name}: {trouble}" for name, trouble in (agent.sensors.troubles if agent.sensors else {}).items()
    ]
    if agent.health is not None:
        lines += [f"machine    {describe_health(agent.health)}", f"heat       {agent.heat}"]
    if report.kept.pictures:
        kept = report.kept
        lines.append(f"kept       {kept.pictures} pictures, {kept.size_bytes / 2**20:.1f} MiB in {kept.folder}")
    lines.append(f"clock      {report.clock}")
    for name, process in agent.processes.items():
        again = f", started again {process.restarts} times: {process.trouble}" if process.restarts else ""
        lines.append(f"process    {name} {process.pid or 'down'}{again}")
    return "\n".join(lines)


def _told(update: UplinkStatus | None) -> str:
    if update is None:
        return "no fleet"
    if not update.attempted:
        return "none yet"
    return f"version {update.attempted} {update.state}{f': {update.reason}' if update.reason else ''}"


def _outbox(update: UplinkStatus | None) -> str:
    if update is None or not update.fleet:
        return "no fleet"
    return f"{update.outbox_rows} rows wait, {'connected' if update.connected else 'not connected'} to {update.fleet}"


def _update(state_dir: Path) -> UplinkStatus | None:
    try:
        return msgspec.json.decode(status_path(state_dir).read_bytes(), type=UplinkStatus)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as exc:
        raise AgentError(f"{state_dir} was written by another release: {exc}", remedy="start the agent again") from exc


def _kept(state_dir: Path) -> Kept:
    folder = kept_folder(state_dir)
    sizes = [file.stat().st_size for file in folder.glob("*.png")]
    return Kept(pictures=len(sizes), size_bytes=sum(sizes), folder=str(folder))


def find_state_dir(place: Path) -> Path:
    """The state folder that is meant: `place` itself, or what a configuration says."""
    if place.suffix in {".yaml", ".yml"} and place.is_file():
        from edge_agent.config import load_config

        return load_config(place).state_dir
    return place


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
