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
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from edge import errors
from edge.errors import AgentError, EdgeError
from edge_agent import link
from edge_agent.channels import make_pipe
from edge_agent.child import Child, Prepare
from edge_agent.config import AgentConfig
from edge_agent.control import Fault, Health, Request
from edge_agent.cores import keep_off
from edge_agent.link import (
    Act,
    Allow,
    Beat,
    CaptureBeat,
    Ended,
    Failed,
    GuardBeat,
    LoopReady,
    Pulse,
    Rehearse,
    SensorsBeat,
)
from edge_agent.loops import END_S, Loops
from edge_agent.plan import Boot, Channels, Plan, Prepared, Recording
from edge_agent.readings import make_wire
from edge_agent.ring_memory import create_ring
from edge_agent.status import AgentStatus, ProcessStatus, remove_run_folder, run_folder, write_status
from edge_agent.switchboard import Switchboard
from edge_agent.switching import Switching
from edge_agent.tapped import make_tapped
from edge_agent.watch.thermostat import Thermostat
from edge_agent.watchdog import take_watchdog

LOOK_S, HEALTH_S = 0.1, 1.0
UPLINK_END_S = 5.0
"""How long the uplink may take to end before it is killed: longer than others, for it has something to send."""
RECORDS_BYTES = 256 * 1024
WishT = TypeVar("WishT")
log = logging.getLogger("edge.supervisor")
_NEWS = msgspec.json.Decoder(link.News)
_REQUESTS = msgspec.json.Decoder(Request)


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
        self._uplink_module = uplink
        self._config, self._boot = config, boot
        records = make_pipe(RECORDS_BYTES) if config.fleet else None
        token = os.urandom(16)
        channels = Channels(
            ring_fd=create_ring(token=token),
            token=token.hex(),
            publications=(make_pipe(), make_pipe()),
            commands=make_pipe(),
            records_in=records.write_fd if records else records_fd,
            records_out=records.read_fd if records else -1,
            readings=tuple((make_wire(), make_wire()) for _ in config.sensors),
            taps=make_tapped(config, token, recording=recording is not None),
        )
        self._board = Switchboard()
        self._plan = Plan(config, boot, self._board, channels, take_watchdog(os.environ, config.guard.watchdog))
        self._guard = self._child("guard", "edge_agent.guard", self._plan.guard, hang_s=config.guard.hang_s)
        self._capture = self._child("capture", "edge_agent.capture", self._plan.capture, hang_s=config.source.hang_s)
        self._sensors: Child[link.News] | None = None
        if config.sensors:  # it watches over its threads itself
            self._sensors = self._child(
                "sensors", "edge_agent.sensors_process", self._plan.sensors, hang_s=config.loop.hang_s
            )
        self._recorder = self._reader("recorder", "edge_agent.recording.process", self._plan.recorder, recording)
        self._keeper = self._reader("keeper", "edge_agent.watch.keeper", self._plan.keeper, config.capture_store)
        self._view = self._reader("view", "edge_agent.view.process", self._plan.view, config.view)
        self._loops = Loops(self._loop)
        self._switching = Switching(
            config, self._board, self._loops, signed=boot.signed, flip=self._flip, tell=self._tell_uplink
        )
        self._uplink: Child[Request] | None = None
        self._capturing = False
        self._failed: dict[str, Failed] = {}
        self._well_s: dict[str, float] = {}
        """When each process last proved that it works, by the name that `_called` gives it."""
        self._thermostat = Thermostat(config.health, config.state_dir)
        self._capture_beat: CaptureBeat | None = None
        self._guard_beat: GuardBeat | None = None
        self._sensors_beat: SensorsBeat | None = None
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
                    self._guard.tell(self._pulse(now_s))
                    write_status(folder, self._status())
        finally:
            self._end()
            remove_run_folder(self._config.state_dir)

    def _begin(self) -> None:
        self._health_s = time.monotonic()
        place = self._board.begin(str(self._boot.path), self._boot.version) if self._boot.path else None
        self._guard.start()
        if self._sensors is not None:
            self._sensors.start()
        for reader in self._readers():
            reader.start()
        if place is None:
            self._start_uplink()
        else:
            self._loops.start(place)

    def _wait(self) -> None:
        lines = [child.line for child in self._children() if child.line is not None]
        ready, _, _ = select.select([self._wake_out, *lines], [], [], LOOK_S)
        if self._wake_out in ready:
            self._wake_out.recv(64)
            self._end_s = 0.0

    def _hear(self) -> None:
        for child in (self._guard, self._capture, self._sensors, *self._readers(), *self._loops):
            for news in child.hear() if child else ():
                self._on_news(child, news)
        if self._uplink is not None:
            self._switching.hear(self._uplink.hear())

    def _on_news(self, child: Child[link.News] | None, news: link.News) -> None:
        if child is not None and isinstance(news, Beat | LoopReady | CaptureBeat | SensorsBeat | GuardBeat):
            self._well_s[self._called(child)] = time.monotonic()
        match news:
            case LoopReady():
                self._on_ready(self._loops.place(child), news)
            case CaptureBeat():
                self._on_capture(news)
            case SensorsBeat():
                self._on_sensors(news)
            case GuardBeat():
                self._guard_beat = news
            case Failed() if child is not None:
                self._failed[child.name] = news
            case Ended():
                slowest_s = max(one.max_age_ms for one in self._config.actuators) / 1000
                self._end_s = (
                    time.monotonic() + slowest_s + 2 * link.BEAT_S
                )  # the last frame has had its effect by then
                log.info("the %s has ended", "recording" if child is self._recorder else "source")
            case _:
                pass

    def _on_capture(self, beat: CaptureBeat) -> None:
        before = self._capture_beat.trouble if self._capture_beat else ""
        if beat.trouble and beat.trouble != before:
            log.warning("no frames: %s", beat.trouble)
        self._capture_beat, self._plan.heard = beat, beat.frame

    def _on_sensors(self, beat: SensorsBeat) -> None:
        before = self._sensors_beat.troubles if self._sensors_beat else {}
        for name, trouble in beat.troubles.items():
            if trouble != before.get(name):
                log.warning("sensor %s: %s", name, trouble)
        self._sensors_beat = beat

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
            self._start_uplink()

    # --- starting and restarting -----------------------------------------------------------------

    def _child(self, name: str, module: str, prepare: Prepare, *, hang_s: float) -> Child[link.News]:
        return Child(name, module, prepare, _NEWS, start_s=self._config.loop.start_s, hang_s=hang_s)

    def _reader(
        self, name: str, module: str, prepare: Callable[[int, WishT], Prepared], wish: WishT | None
    ) -> Child[link.News] | None:
        """A process that reads the loops' turns, if it is wished for."""
        if wish is None:
            return None
        return self._child(name, module, lambda fd: prepare(fd, wish), hang_s=self._config.loop.hang_s)

    def _readers(self) -> list[Child[link.News]]:
        return [child for child in (self._recorder, self._keeper, self._view) if child is not None]

    def _loop(self, place: int) -> Child[link.News]:
        hang_s = self._config.loop.hang_s
        return self._child(f"loop{place}", "edge_agent.loop", lambda fd: self._plan.loop(fd, place), hang_s=hang_s)

    def _start_uplink(self) -> None:
        """Once: when the first model decides, or will not, or there is none."""
        if self._config.fleet is not None and self._uplink is None:
            self._uplink = Child("uplink", self._uplink_module, self._plan.uplink, _REQUESTS)
            self._uplink.start()

    def _children(self) -> list[Child[link.News] | Child[Request]]:
        capture = self._capture if self._capturing else None
        everyone = [self._guard, capture, self._sensors, *self._readers(), *self._loops, self._uplink]
        return [child for child in everyone if child is not None]

    def _watch(self, now_s: float) -> None:
        for child in self._children():
            if reason := child.trouble(now_s):
                self._on_trouble(child, reason, now_s)
        for child in self._children():
            if child.due(now_s):
                child.start()
        self._loops.see_off(now_s)

    def _on_trouble(self, child: Child[link.News] | Child[Request], reason: str, now_s: float) -> None:
        self._hear()  # its last words
        failed = self._failed.pop(child.name, None)
        if failed is not None:
            reason = f"{failed.error}: {failed.problem}"
        place = self._loops.place(child)
        name = self._called(child)
        if self._switching.loads(place):
            self._switching.give_up(reason)
            return
        hopeless = child is self._recorder or (self._config.fleet is None and name not in self._well_s)
        if failed is not None and hopeless:
            raise _error(failed)
        child.fail(reason, now_s)
        log.warning("%s %s; starting it again (%d)", name, reason, child.restarts)
        if place is not None and (model := self._board.places[place]):
            model.ready = False
            self._start_uplink()
        if child is self._uplink:
            self._switching.forget_requests()
        self._tell_uplink(Fault(process=name, reason=reason, restarts=child.restarts))

    def _called(self, child: Child[link.News] | Child[Request]) -> str:
        """The loop that decides is "loop", the other one "standby": its faults say nothing of the model in use."""
        place = self._loops.place(child)
        if place is None:
            return child.name
        return "loop" if place == self._board.active else "standby"

    # --- the switch ------------------------------------------------------------------------------

    def _flip(self) -> None:
        """The guard first: it must know the epoch before its first command is made."""
        self._guard.tell(Allow(epoch=self._board.epoch))
        self._point_capture()
        log.info("version %d decides, epoch %d", self._version(), self._board.epoch)
        self._tell_health()

    def _point_capture(self) -> None:
        """Tell capture which loop decides, or start it."""
        model = self._board.deciding
        if model is None or self._board.active is None or model.contract is None:
            return
        if self._capturing:
            act = Act(epoch=self._board.epoch, active=self._board.active, contract=model.contract, fps=self._plan.fps)
            self._capture.tell(act)
        else:
            self._capturing = True
            self._capture.start()

    # --- heat ------------------------------------------------------------------------------------

    def _mind_heat(self, now_s: float) -> None:
        """Fewer frames at once; the smaller variant in a second loop, as any other switch, while no update is on."""
        if change := self._thermostat.look(now_s):
            self._switching.notice("heat", change)
            self._plan.fps = self._thermostat.fps(self._config.source.fps)
            self._plan.rehearse = self._thermostat.cool
            if self._capturing:
                self._point_capture()
            for child in (self._capture, *self._loops):
                child.tell(Rehearse(on=self._plan.rehearse))
        self._switching.resize(small=self._thermostat.wants_small, now_s=now_s)

    # --- what is told ----------------------------------------------------------------------------

    def _version(self) -> int:
        return self._board.deciding.version if self._board.deciding else 0

    def _tell_uplink(self, packet: msgspec.Struct) -> None:
        if self._uplink is not None:
            self._uplink.tell(packet)

    def _tell_health(self) -> None:
        processes = {self._called(child): child.pid for child in self._children()}
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
        away_s = {name: now_s - self._well_s[name] for name in needed if name in self._well_s}
        return Pulse(
            works=all(s < self._config.guard.give_up_s for s in away_s.values()),
            started=self._capturing or self._uplink is not None,
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
                self._called(c): ProcessStatus(pid=c.pid, restarts=c.restarts, trouble=c.last_trouble)
                for c in self._children()
            },
            capture=self._capture_beat,
            guard=self._guard_beat,
            sensors=self._sensors_beat,
            health=self._thermostat.health,
            heat=self._thermostat.doing,
            boot_reason=self._boot.reason,
        )

    # --- the end ---------------------------------------------------------------------------------

    def _catch_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._wake_in.send(b"."))

    def _end(self) -> None:
        """The guard first, for it makes safe; then everybody else, the uplink with time to say goodbye."""
        children = [*self._children(), *self._loops.leaving]
        for child in children:
            child.ask_to_end()
        began_s = time.monotonic()
        while not all(child.ended() for child in children):
            late_s = time.monotonic() - began_s
            for child in children:
                if late_s > (UPLINK_END_S if child is self._uplink else END_S):
                    child.kill()
            time.sleep(0.01)
        for child in children:
            child.kill()


def _error(failed: Failed) -> EdgeError:
    kind = getattr(errors, failed.error, AgentError)
    error: EdgeError = kind(failed.problem, remedy=failed.remedy)
    return error
