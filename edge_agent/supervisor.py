"""The supervisor (`edge run`): starts, watches and restarts the processes, and switches between two loops.

It holds both ends of every pipe, so a process that is started again finds the pipes of the one that was killed, and
every other process keeps its own. It loads neither numpy nor a model: what it must know of one, its loop says.
"""

import logging
import os
import select
import signal
import socket
import time
from pathlib import Path

import msgspec

from edge import errors
from edge.errors import AgentError, EdgeError
from edge_agent import link
from edge_agent.channels import make_pipe
from edge_agent.child import Child
from edge_agent.config import AgentConfig
from edge_agent.control import Fault, Health, Request
from edge_agent.cores import keep_off
from edge_agent.crew import Crew, Member
from edge_agent.heartbeats import Heartbeats
from edge_agent.link import Act, Allow, CaptureBeat, Ended, Failed, LoopReady, Pulse, Rehearse
from edge_agent.plan import Boot, Channels, Plan, Recording
from edge_agent.readings import make_wire
from edge_agent.ring_memory import create_ring
from edge_agent.status import AgentStatus, ProcessStatus, remove_run_folder, run_folder, write_status
from edge_agent.switchboard import Switchboard
from edge_agent.switching import Switching
from edge_agent.tapped import make_tapped
from edge_agent.watch.thermostat import Thermostat
from edge_agent.watchdog import take_watchdog

LOOK_S, HEALTH_S = 0.1, 1.0
RECORDS_BYTES = 256 * 1024
log = logging.getLogger("edge.supervisor")


class Supervisor:
    """Everything that the agent is, seen from above. Use: `Supervisor(config, boot).run()`."""

    def __init__(
        self,
        config: AgentConfig,
        boot: Boot,
        *,
        records_fd: int = -1,
        uplink: str = "edge_agent.uplink.process",
        recording: Recording | None = None,
    ) -> None:
        """Prepare memory and pipes; nothing runs yet.

        `records_fd`: write end of a pipe for `edge_agent.records`, if somebody else than an uplink reads them.
        `uplink`: module that speaks `edge_agent.control`.
        `recording`: where all turns go; the agent ends with it.
        """
        self._config, self._boot = config, boot
        channels = _make_channels(config, records_fd, recording)
        self._board, self._beats = Switchboard(), Heartbeats()
        self._plan = Plan(config, boot, self._board, channels, take_watchdog(os.environ, config.guard.watchdog))
        self._crew = Crew(config, self._plan, self._board, uplink=uplink, recording=recording)
        self._switching = Switching(
            config, self._board, self._crew.loops, signed=boot.signed, flip=self._flip, tell=self._tell_uplink
        )
        self._failed: dict[str, Failed] = {}
        self._thermostat = Thermostat(config.health, config.state_dir)
        self._end_s = self._health_s = float("inf")
        self._wake_out, self._wake_in = socket.socketpair()

    # --- main path -------------------------------------------------------------------------------

    def run(self) -> None:
        """Work until SIGTERM, SIGINT or the end of the source; raises the error that kept it from ever starting."""
        self._catch_signals()
        keep_off(self._config.loop.cpu)
        folder = run_folder(self._config.state_dir)
        try:
            self._begin()
            while time.monotonic() < self._end_s:
                self._wait()
                self._hear()
                now_s = time.monotonic()
                self._switching.answer()
                self._watch(now_s)
                if now_s >= self._health_s:
                    self._health_s = now_s + HEALTH_S
                    self._mind_heat(now_s)
                    self._tell_health()
                    self._crew.guard.tell(self._pulse(now_s))
                    write_status(folder, self._status())
        finally:
            self._crew.end()
            remove_run_folder(self._config.state_dir)

    def _catch_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._wake_in.send(b"."))

    def _begin(self) -> None:
        self._health_s = time.monotonic()
        self._crew.begin(self._board.begin(str(self._boot.path), self._boot.version) if self._boot.path else None)

    def _wait(self) -> None:
        lines = [child.line for child in self._crew if child.line is not None]
        ready, _, _ = select.select([self._wake_out, *lines], [], [], LOOK_S)
        if self._wake_out in ready:
            self._wake_out.recv(64)
            self._end_s = 0.0

    def _hear(self) -> None:
        for child, news in self._crew.news():
            self._beats.heard(self._crew.called(child), news)
            self._on_news(child, news)
        if self._crew.uplink is not None:
            self._switching.hear(self._crew.uplink.hear())

    def _on_news(self, child: Member, news: link.News) -> None:
        match news:
            case LoopReady():
                self._on_ready(self._crew.loops.place(child), news)
            case CaptureBeat(frame=frame):
                self._plan.heard = frame
            case Failed():
                self._failed[child.name] = news
            case Ended():  # the last frame will have had its effect by then
                slowest_s = max(one.max_age_ms for one in self._config.actuators) / 1000
                self._end_s = time.monotonic() + slowest_s + 2 * link.BEAT_S
                log.info("the %s has ended", "recording" if child is self._crew.recorder else "source")
            case _:
                pass

    def _on_ready(self, place: int | None, ready: LoopReady) -> None:
        model = None if place is None else self._board.places[place]
        if model is None or place is None:
            return
        model.learn(ready)
        if self._switching.loads(place):
            self._switching.finish(ready.p95_us)
        elif place == self._board.active:
            log.info("version %d decides", model.version)
            self._point_capture()
            self._crew.start_uplink()

    # --- trouble ---------------------------------------------------------------------------------

    def _watch(self, now_s: float) -> None:
        for child in self._crew:
            if reason := child.trouble(now_s):
                self._on_trouble(child, reason, now_s)
        for child in self._crew:
            if child.due(now_s):
                child.start()
        self._crew.loops.see_off(now_s)

    def _on_trouble(self, child: Member | Child[Request], reason: str, now_s: float) -> None:
        self._hear()  # its last words
        failed = self._failed.pop(child.name, None)
        if failed is not None:
            reason = f"{failed.error}: {failed.problem}"
        place = self._crew.loops.place(child)
        name = self._crew.called(child)
        if self._switching.loads(place):
            self._switching.give_up(reason)
            return
        hopeless = child is self._crew.recorder or (self._config.fleet is None and not self._beats.worked(name))
        if failed is not None and hopeless:
            raise _error(failed)
        child.fail(reason, now_s)
        log.warning("%s %s; starting it again (%d)", name, reason, child.restarts)
        if place is not None and (model := self._board.places[place]):
            model.ready = False
            self._crew.start_uplink()
        if child is self._crew.uplink:
            self._switching.forget_requests()
        self._tell_uplink(Fault(process=name, reason=reason, restarts=child.restarts))

    # --- the switch ------------------------------------------------------------------------------

    def _flip(self) -> None:
        """The guard first: it must know the epoch before its first command is made."""
        self._crew.guard.tell(Allow(epoch=self._board.epoch))
        self._point_capture()
        log.info("version %d decides, epoch %d", self._version(), self._board.epoch)
        self._tell_health()

    def _point_capture(self) -> None:
        """Tell capture which loop decides, or start it."""
        model = self._board.deciding
        if model is None or self._board.active is None or model.contract is None:
            return
        if self._crew.capturing:
            act = Act(epoch=self._board.epoch, active=self._board.active, contract=model.contract, fps=self._plan.fps)
            self._crew.capture.tell(act)
        else:
            self._crew.start_capture()

    # --- heat ------------------------------------------------------------------------------------

    def _mind_heat(self, now_s: float) -> None:
        """Fewer frames at once; the smaller variant in a second loop, as any other switch, while no update is on."""
        if change := self._thermostat.look(now_s):
            self._switching.notice("heat", change)
            self._plan.fps = self._thermostat.fps(self._config.source.fps)
            self._plan.rehearse = self._thermostat.cool
            if self._crew.capturing:
                self._point_capture()
            for child in (self._crew.capture, *self._crew.loops):
                child.tell(Rehearse(on=self._plan.rehearse))
        self._switching.resize(small=self._thermostat.wants_small, now_s=now_s)

    # --- what is told ----------------------------------------------------------------------------

    def _version(self) -> int:
        return self._board.deciding.version if self._board.deciding else 0

    def _tell_uplink(self, packet: msgspec.Struct) -> None:
        if self._crew.uplink is not None:
            self._crew.uplink.tell(packet)

    def _tell_health(self) -> None:
        processes = {self._crew.called(child): child.pid for child in self._crew}
        self._tell_uplink(
            Health(
                version=self._version(),
                epoch=self._board.epoch,
                processes=processes,
                machine=self._thermostat.health,
                heat=self._thermostat.level,
            )
        )

    def _pulse(self, now_s: float) -> Pulse:
        """For the watchdogs; a process counts that worked once, and is needed: where no model decides, none is."""
        needed = ("loop", "capture") if self._board.deciding else ()
        return Pulse(
            works=all(self._beats.silent_s(name, now_s) < self._config.guard.give_up_s for name in needed),
            started=self._crew.capturing or self._crew.uplink is not None,
            status=f"version {self._version()} decides" if self._version() else "no model decides",
        )

    def _status(self) -> AgentStatus:
        return AgentStatus(
            wall_ns=time.time_ns(),
            pid=os.getpid(),
            device=self._config.device,
            model=self._config.model,
            version=self._version(),
            bundle=Path(self._board.deciding.bundle).name if self._board.deciding else "",
            epoch=self._board.epoch,
            processes={
                self._crew.called(c): ProcessStatus(pid=c.pid, restarts=c.restarts, trouble=c.last_trouble)
                for c in self._crew
            },
            capture=self._beats.capture,
            guard=self._beats.guard,
            sensors=self._beats.sensors,
            health=self._thermostat.health,
            heat=self._thermostat.doing,
            boot_reason=self._boot.reason,
        )


def _make_channels(config: AgentConfig, records_fd: int, recording: Recording | None) -> Channels:
    """All memory and pipes between the processes."""
    records = make_pipe(RECORDS_BYTES) if config.fleet else None
    token = os.urandom(16)
    return Channels(
        ring_fd=create_ring(token=token),
        token=token.hex(),
        publications=(make_pipe(), make_pipe()),
        commands=make_pipe(),
        records_in=records.write_fd if records else records_fd,
        records_out=records.read_fd if records else -1,
        readings=tuple((make_wire(), make_wire()) for _ in config.sensors),
        taps=make_tapped(config, token, recording=recording is not None),
    )


def _error(failed: Failed) -> EdgeError:
    kind = getattr(errors, failed.error, AgentError)
    error: EdgeError = kind(failed.problem, remedy=failed.remedy)
    return error
