"""The processes of one agent: which there are, how each is made, what it is called, and how they end."""

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec

from edge_agent import link
from edge_agent.child import Child, Prepare
from edge_agent.config import AgentConfig
from edge_agent.control import Request
from edge_agent.loops import END_S, Loops
from edge_agent.plan import Plan, Prepared, Recording
from edge_agent.switchboard import Switchboard

UPLINK_END_S = 5.0
"""How long the uplink may take to end before it is killed: longer than others, for it has something to send."""
WishT = TypeVar("WishT")
Member = Child[link.News]
_NEWS = msgspec.json.Decoder(link.News)
_REQUESTS = msgspec.json.Decoder(Request)


class Crew:
    """Makes them all and starts each when it is time; what follows when one is in trouble is the supervisor's part."""

    def __init__(
        self, config: AgentConfig, plan: Plan, board: Switchboard, *, uplink: str, recording: Recording | None
    ) -> None:
        """Nothing runs yet. `uplink`: its module. `recording`: where all turns go, if they are recorded."""
        self._config, self._plan, self._board, self._uplink_module = config, plan, board, uplink
        self.guard = self._child("guard", "edge_agent.guard", plan.guard, hang_s=config.guard.hang_s)
        self.capture = self._child("capture", "edge_agent.capture", plan.capture, hang_s=config.source.hang_s)
        self.sensors: Member | None = None
        if config.sensors:  # it watches over its threads itself
            self.sensors = self._child("sensors", "edge_agent.sensors_process", plan.sensors, hang_s=config.loop.hang_s)
        self.recorder = self._reader("recorder", "edge_agent.recording.process", plan.recorder, recording)
        self._keeper = self._reader("keeper", "edge_agent.watch.keeper", plan.keeper, config.capture_store)
        self._view = self._reader("view", "edge_agent.view.process", plan.view, config.view)
        self.loops = Loops(self._loop)
        self.uplink: Child[Request] | None = None
        self.capturing = False
        """Whether capture was ever started: only when the first model has said what it wants."""

    def __iter__(self) -> Iterator[Member | Child[Request]]:
        """All that were started and shall run, as they are now."""
        capture = self.capture if self.capturing else None
        everyone = (self.guard, capture, self.sensors, *self._readers(), *self.loops, self.uplink)
        return iter([one for one in everyone if one is not None])

    def news(self) -> Iterator[tuple[Member, link.News]]:
        """What they have said since the last call, and who; what the uplink asks for is none of it."""
        for one in (self.guard, self.capture, self.sensors, *self._readers(), *self.loops):
            if one is not None:
                for said in one.hear():
                    yield one, said

    def called(self, child: Member | Child[Request]) -> str:
        """The loop that decides is "loop", the other one "standby": its faults say nothing of the model in use."""
        place = self.loops.place(child)
        if place is None:
            return child.name
        return "loop" if place == self._board.active else "standby"

    # --- starting --------------------------------------------------------------------------------

    def begin(self, place: int | None) -> None:
        """Start who is needed from the first moment on, and the loop in `place`; without a model, the uplink."""
        for one in (self.guard, self.sensors, *self._readers()):
            if one is not None:
                one.start()
        if place is None:
            self.start_uplink()
        else:
            self.loops.start(place)

    def start_capture(self) -> None:
        """Once: when the first model decides."""
        self.capturing = True
        self.capture.start()

    def start_uplink(self) -> None:
        """Once: when the first model decides, or will not, or there is none."""
        if self._config.fleet is not None and self.uplink is None:
            self.uplink = Child("uplink", self._uplink_module, self._plan.uplink, _REQUESTS)
            self.uplink.start()

    def _child(self, name: str, module: str, prepare: Prepare, *, hang_s: float) -> Member:
        return Child(name, module, prepare, _NEWS, start_s=self._config.loop.start_s, hang_s=hang_s)

    def _reader(
        self, name: str, module: str, prepare: Callable[[int, WishT], Prepared], wish: WishT | None
    ) -> Member | None:
        """A process that reads the loops' turns, if it is wished for."""
        if wish is None:
            return None
        return self._child(name, module, lambda fd: prepare(fd, wish), hang_s=self._config.loop.hang_s)

    def _readers(self) -> list[Member]:
        return [child for child in (self.recorder, self._keeper, self._view) if child is not None]

    def _loop(self, place: int) -> Member:
        hang_s = self._config.loop.hang_s
        return self._child(f"loop{place}", "edge_agent.loop", lambda fd: self._plan.loop(fd, place), hang_s=hang_s)

    # --- the end ---------------------------------------------------------------------------------

    def end(self) -> None:
        """The guard first, for it makes safe; then everybody else, the uplink with time to say goodbye."""
        children = [*self, *self.loops.leaving]
        for child in children:
            child.ask_to_end()
        began_s = time.monotonic()
        while not all(child.ended() for child in children):
            late_s = time.monotonic() - began_s
            for child in children:
                if late_s > (UPLINK_END_S if child is self.uplink else END_S):
                    child.kill()
            time.sleep(0.01)
        for child in children:
            child.kill()
