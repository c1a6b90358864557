"""What each process is told at its start, from the configuration and the switchboard of that moment."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from edge_agent.channels import Pipe
from edge_agent.config import AgentConfig, CaptureStoreConfig, ViewConfig
from edge_agent.readings import Wire
from edge_agent.specs import (
    CaptureSpec,
    Chosen,
    GuardActuator,
    GuardSpec,
    HeardSensor,
    KeeperSpec,
    LoopSpec,
    RecorderSpec,
    SensorSpec,
    SensorsSpec,
    TapSpec,
    ViewSpec,
    WatchdogSpec,
    WireFds,
)
from edge_agent.status import kept_folder
from edge_agent.switchboard import Switchboard
from edge_agent.tapped import Tapped
from edge_agent.uplink.spec import Pictures, UplinkSpec

Prepared = tuple[Any, tuple[int, ...]]
"""A spec, and the descriptors that go with it."""


@dataclass(frozen=True, slots=True)
class Boot:
    """What runs first. `path` None: no model yet, the fleet will send one."""

    path: Path | None
    version: int = 0
    """0: whatever the bundle says."""
    reason: str = ""
    signed: bool = False
    """It comes from the slots, where only what the fleet signed lies."""

    @classmethod
    def from_slots(cls, config: AgentConfig) -> "Boot":
        """Ask the journal."""
        from edge_agent.update.boot import choose_bundle

        config.state_dir.mkdir(parents=True, exist_ok=True)
        choice = choose_bundle(config.state_dir, config.model)
        return cls(choice.path, choice.version, choice.reason, signed=True)


@dataclass(frozen=True, slots=True)
class Recording:
    """What `edge record` wants: all turns, until there is enough."""

    path: Path
    seconds: float
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Channels:
    """The memory and the pipes of one agent; the supervisor holds both ends of each."""

    ring_fd: int
    token: str
    publications: tuple[Pipe, Pipe]
    commands: Pipe
    records_in: int
    """-1: nobody reads records."""
    records_out: int
    readings: tuple[tuple[Wire, Wire], ...] = ()
    """For each sensor of the configuration, one wire a loop."""
    taps: tuple[Tapped, ...] = ()
    """Who wants to see the turns."""


class Plan:
    """Makes the specs."""

    def __init__(
        self, config: AgentConfig, boot: Boot, board: Switchboard, channels: Channels, watchdog: WatchdogSpec
    ) -> None:
        self._config, self._boot, self._board, self._channels = config, boot, board, channels
        self._watchdog = watchdog
        self.fps = config.source.fps
        """As it is now: a hot device offers fewer frames."""
        self.rehearse = True
        """The same: a hot device does without."""
        self.heard = 0
        """Last frame that capture told of: what a new one counts on from, should the ring be damaged."""

    def guard(self, link_fd: int) -> Prepared:
        """For `edge_agent.guard`."""
        config, channels = self._config, self._channels
        actuators = tuple(
            GuardActuator(
                chosen=self._chosen(one.kind, one.options), max_age_ms=one.max_age_ms, safe_state=one.safe_state
            )
            for one in config.actuators
        )
        spec = GuardSpec(
            parent=os.getpid(),
            link_fd=link_fd,
            actions=config.decider.actions,
            actuators=actuators,
            epoch=self._board.epoch,
            commands_fd=channels.commands.read_fd,
            records_fd=channels.records_in,
            watchdog=self._watchdog,
            priority=None if config.loop.priority is None else config.loop.priority + 1,
        )
        return spec, (spec.commands_fd, spec.records_fd)

    def capture(self, link_fd: int) -> Prepared:
        """For `edge_agent.capture`; some model decides, and has said what it wants."""
        deciding = self._board.deciding
        if deciding is None or deciding.contract is None or self._board.active is None:
            raise ValueError("capture starts when the first loop is ready")
        channels = self._channels
        spec = CaptureSpec(
            parent=os.getpid(),
            link_fd=link_fd,
            source=self._chosen(self._config.source.kind, self._config.source.options),
            fps=self.fps,
            contract=deciding.contract,
            epoch=self._board.epoch,
            active=self._board.active,
            ring_fd=channels.ring_fd,
            token=channels.token,
            publications=tuple(pipe.write_fd for pipe in channels.publications),
            heard=self.heard,
            priority=None if self._config.loop.priority is None else self._config.loop.priority - 1,
            rehearse_ms=self._config.loop.rehearse_ms,
            rehearse_now=self.rehearse,
        )
        return spec, (spec.ring_fd, *spec.publications)

    def sensors(self, link_fd: int) -> Prepared:
        """For `edge_agent.sensors_process`."""
        wires = [
            tuple(WireFds(reader=wire.reader.fileno(), writer=wire.writer.fileno()) for wire in pair)
            for pair in self._channels.readings
        ]
        spec = SensorsSpec(
            parent=os.getpid(),
            link_fd=link_fd,
            sensors=tuple(
                SensorSpec(name=one.name, chosen=self._chosen(one.kind, one.options), hang_s=one.hang_s, wires=pair)
                for one, pair in zip(self._config.sensors, wires, strict=True)
            ),
        )
        return spec, tuple(fd for pair in wires for wire in pair for fd in (wire.reader, wire.writer))

    def loop(self, link_fd: int, place: int) -> Prepared:
        """For `edge_agent.loop` in place 0 or 1."""
        config, channels, model = self._config, self._channels, self._board.places[place]
        if model is None:
            raise ValueError(f"no model in place {place}")
        heard = tuple(
            HeardSensor(name=one.name, wire_fd=pair[place].reader.fileno(), max_age_ms=one.max_age_ms)
            for one, pair in zip(config.sensors, channels.readings, strict=True)
        )
        spec = LoopSpec(
            parent=os.getpid(),
            link_fd=link_fd,
            index=place,
            bundle=model.bundle,
            model=config.model,
            small=model.small,
            threads=config.loop.threads,
            cpu=config.loop.cpu,
            priority=config.loop.priority,
            rehearse_ms=config.loop.rehearse_ms,
            rehearse_now=self.rehearse,
            rehearse_inference=config.loop.rehearse_inference,
            decider=self._chosen(config.decider.kind, config.decider.options),
            actions=config.decider.actions,
            max_age_ms=max(one.max_age_ms for one in config.actuators),
            period_ms=1000 / config.source.fps,
            ring_fd=channels.ring_fd,
            token=channels.token,
            publications_fd=channels.publications[place].read_fd,
            commands_fd=channels.commands.write_fd,
            records_fd=channels.records_in,
            sensors=heard,
            taps=tuple(self._written_by(place, one) for one in channels.taps),
        )
        own = (spec.ring_fd, spec.publications_fd, spec.commands_fd, spec.records_fd)
        return spec, (*own, *(one.wire_fd for one in heard), *_tap_fds(spec.taps))

    def recorder(self, link_fd: int, recording: Recording) -> Prepared:
        """For `edge_agent.recording.process`."""
        spec = RecorderSpec(
            parent=os.getpid(),
            link_fd=link_fd,
            path=str(recording.path),
            seconds=recording.seconds,
            max_bytes=recording.max_bytes,
            device=self._config.device,
            model=self._config.model,
            taps=self._read_by("recorder"),
        )
        return spec, _tap_fds(spec.taps)

    def keeper(self, link_fd: int, store: CaptureStoreConfig) -> Prepared:
        """For `edge_agent.watch.keeper`."""
        spec = KeeperSpec(
            parent=os.getpid(),
            link_fd=link_fd,
            folder=str(kept_folder(self._config.state_dir)),
            model=self._config.model,
            max_bytes=store.max_mib << 20,
            max_per_hour=store.max_per_hour,
            masks=store.masks,
            taps=self._read_by("keeper"),
        )
        return spec, _tap_fds(spec.taps)

    def view(self, link_fd: int, view: ViewConfig) -> Prepared:
        """For `edge_agent.view.process`."""
        spec = ViewSpec(
            parent=os.getpid(),
            link_fd=link_fd,
            host=view.host,
            port=view.port,
            device=self._config.device,
            model=self._config.model,
            taps=self._read_by("view"),
        )
        return spec, _tap_fds(spec.taps)

    def _written_by(self, place: int, tapped: Tapped) -> TapSpec:
        channel = tapped.channels[place]
        spec = channel.spec(self._channels.token, channel.announcements.write_fd)
        return msgspec.structs.replace(
            spec, with_input=tapped.with_input, unsure_only=tapped.unsure_only, gap_s=tapped.gap_s
        )

    def _read_by(self, reader: str) -> tuple[TapSpec, ...]:
        token = self._channels.token
        found = next(tapped for tapped in self._channels.taps if tapped.reader == reader)
        return tuple(channel.spec(token, channel.announcements.read_fd) for channel in found.channels)

    def uplink(self, control_fd: int) -> Prepared:
        """For `edge_agent.uplink.process`."""
        config, fleet, deciding = self._config, self._config.fleet, self._board.deciding
        if fleet is None:
            raise ValueError("no fleet is configured")
        spec = UplinkSpec(
            control_fd=control_fd,
            records_fd=self._channels.records_out,
            state_dir=str(config.state_dir),
            model=config.model,
            target=fleet.target,
            actions=config.decider.actions,
            safe_action=config.decider.actions[0],
            labels=deciding.labels if deciding else (),
            version=deciding.version if deciding else 0,
            bundle=deciding.bundle if deciding else "",
            epoch=self._board.epoch,
            boot_reason=self._boot.reason,
            enrol=str(fleet.enrol),
            outbox=fleet.outbox,
            transport=fleet.transport,
            folder=str(fleet.folder or ""),
            window_s=fleet.window_s,
            probation_s=fleet.probation_s,
            quiet_s=fleet.quiet_s,
            p95_limit_ms=fleet.p95_limit_ms,
            drift_limit=fleet.drift_limit,
            pictures=_pictures(config.capture_store),
        )
        return spec, (spec.records_fd,)

    def _chosen(self, kind: str, options: dict[str, Any]) -> Chosen:
        return Chosen(kind=kind, options=options, folder=str(self._config.folder))


def _pictures(store: CaptureStoreConfig | None) -> Pictures:
    if store is None:
        return "none"
    return "sent" if store.send else "kept"


def _tap_fds(taps: tuple[TapSpec, ...]) -> tuple[int, ...]:
    return tuple(fd for tap in taps for fd in (tap.ring_fd, tap.publications_fd))
