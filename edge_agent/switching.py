"""Models come and go: what the uplink and the heat ask for, carried out with the loop that does not decide.

One thing at a time: a model that loads keeps the next request waiting.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable

import msgspec

from edge_agent.config import AgentConfig
from edge_agent.control import Done, Notice, Request, Retire, Revert, Stage, Switch
from edge_agent.loops import Loops
from edge_agent.plan import Boot
from edge_agent.switchboard import Switchboard

RESIZE_AGAIN_S = 600.0
"""A variant that did not run is not tried again before."""
log = logging.getLogger("edge.supervisor")


class Switching:
    """The requests, and what is under way."""

    def __init__(
        self,
        config: AgentConfig,
        board: Switchboard,
        loops: Loops,
        *,
        signed: bool,
        flip: Callable[[], None],
        tell: Callable[[msgspec.Struct], None],
    ) -> None:
        """Nothing is under way yet.

        `signed`: the journal knows which bundle to go back to. `flip`: to be called when another model decides.
        `tell`: to the uplink.
        """
        self._config, self._board, self._loops = config, board, loops
        self._signed, self._flip, self._tell = signed, flip, tell
        self._requests: deque[Request] = deque()
        self._staging = self._switch_when_ready = False
        self._resizing, self._resize_again_s = False, 0.0
        """Another variant of the model that decides is being loaded, for the machine is hot or cool again."""

    def hear(self, requests: Iterable[Request]) -> None:
        """Take in what the uplink asks."""
        self._requests.extend(requests)

    def forget_requests(self) -> None:
        """The uplink ended: a new one asks anew. Only what the heat asked for goes on."""
        self._requests.clear()
        self._staging, self._switch_when_ready = self._resizing, False

    def answer(self) -> None:
        """Carry out what was asked, one after the other; while a model loads, the next request waits."""
        while self._requests and not self._staging:
            request = self._requests.popleft()
            match request:
                case Stage():
                    self._stage(request.path, request.version)
                case Switch():
                    self._tell(self._switch())
                case Revert():
                    self._revert(request.reason)
                case Retire():
                    self._loops.dismiss(self._board.retire())
                    self._tell(Done(ok=True))

    def loads(self, place: int | None) -> bool:
        """Whether the model in this place is the one that is being loaded."""
        return self._staging and place is not None and place == self._board.staged

    def finish(self, p95_us: float) -> None:
        """The model that was being loaded is ready."""
        self._staging = False
        if self._resizing:
            self._finish_resize()
        elif self._switch_when_ready:
            self._switch_when_ready = False
            self._tell(self._switch())
        else:
            self._tell(Done(ok=True, p95_us=p95_us))

    def give_up(self, reason: str) -> None:
        """The model that was being loaded will not run."""
        self._staging = self._switch_when_ready = False
        self._loops.dismiss(self._board.revert())
        if self._resizing:
            self._resizing, self._resize_again_s = False, time.monotonic() + RESIZE_AGAIN_S
            self.notice("heat", f"the other variant does not run: {reason}")
        else:
            self._tell(Done(ok=False, reason=reason))

    def resize(self, *, small: bool, now_s: float) -> None:
        """Load the smaller or the first variant of the model that decides, unless it does or something is under way."""
        model = self._board.deciding
        busy = self._staging or self._requests or self._board.places[self._board.other] is not None
        if model is None or not model.ready or busy or model.small == small or now_s < self._resize_again_s:
            return
        if small and not model.has_smaller:
            return
        self._resizing = self._staging = True
        self._loops.start(self._board.stage(model.bundle, model.version, small=small))

    def notice(self, kind: str, text: str) -> None:
        """Tell whoever may want to know."""
        log.warning("%s: %s", kind, text)
        self._tell(Notice(kind=kind, text=text))

    # --- inside ----------------------------------------------------------------------------------

    def _stage(self, path: str, version: int) -> None:
        self._loops.dismiss(self._board.other)
        self._staging = True
        self._loops.start(self._board.stage(path, version))

    def _switch(self) -> Done:
        if self._board.staged is None:
            return Done(ok=True)
        if not self._board.switch():
            return Done(ok=False, reason="the staged model has died")
        self._flip()
        return Done(ok=True)

    def _revert(self, reason: str) -> None:
        log.warning("going back: %s", reason)
        before = self._board.active
        given_up = self._board.revert()
        if given_up is None:
            self._revert_cold()
            return
        if given_up == before:
            self._flip()
        self._loops.dismiss(given_up)
        self._tell(Done(ok=True))

    def _revert_cold(self) -> None:
        """The old model is not warm (the agent was restarted since): load what the journal says now."""
        deciding = self._board.deciding
        if deciding is None or not self._signed:
            self._tell(Done(ok=True))
            return
        boot = Boot.from_slots(self._config)
        if boot.path is not None and deciding.bundle == str(boot.path):
            self._tell(Done(ok=True))
        elif boot.path is None:
            self._loops.dismiss(self._board.stop())
            self._tell(Done(ok=True))
        else:
            self._switch_when_ready = True
            self._stage(str(boot.path), boot.version)

    def _finish_resize(self) -> None:
        self._resizing = False
        if self._switch().ok:
            self._loops.dismiss(self._board.retire())
            small = self._board.deciding is not None and self._board.deciding.small
            self.notice("heat", f"the {'smaller' if small else 'first'} variant decides")
