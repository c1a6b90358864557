"""The supervisor as the update sees it: requests go out, answers, faults and health come in."""

import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from edge_agent.control import (
    MAX_PACKET_BYTES,
    Done,
    Fault,
    Health,
    News,
    Notice,
    Request,
    Retire,
    Revert,
    Stage,
    Switch,
)
from edge_agent.watch.trial import Trial

STAGE_S, REQUEST_S = 180.0, 30.0
"""A request that is not answered within this time has failed."""
HEALTH_S = 10.0
"""Longest wait for a sign of health; one comes every second."""
LOOK_S = 0.2


@dataclass(slots=True)
class _Asked:
    request: Request
    answer: Done | None = None
    answered: threading.Event = field(default_factory=threading.Event)


class SupervisorSeat:
    """`edge_agent.update.flow.Seat` over the control socket. The main thread receives, the update's thread asks."""

    def __init__(
        self,
        line: socket.socket,
        *,
        version: int,
        probation_s: float,
        quiet_s: float,
        on_health: Callable[[Health], None],
        on_fault: Callable[[Fault], None],
        on_notice: Callable[[Notice], None],
    ) -> None:
        """`version` decides now. The callbacks run in the thread that calls `receive`."""
        self._line, self._version = line, version
        self._probation_s, self._quiet_s = probation_s, quiet_s
        self._on_health, self._on_fault, self._on_notice = on_health, on_fault, on_notice
        self._decoder = msgspec.json.Decoder(News)
        self._asked: deque[_Asked] = deque()
        self._asking = threading.Lock()
        self._trial: Trial | None = None
        self._healthy, self._healths = threading.Condition(), 0

    # --- the main thread -------------------------------------------------------------------------

    def receive(self) -> bool:
        """Take in everything that the supervisor has said; False when it is gone."""
        while True:
            try:
                packet = self._line.recv(MAX_PACKET_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return True
            except ConnectionError:
                return False
            if not packet:
                return False
            self._hear(self._decoder.decode(packet))

    def decided(self, version: int, decisions: int) -> None:
        """Some decisions of a version have come in."""
        if trial := self._trial:
            trial.decided(version, decisions, time.monotonic())

    def looked(self) -> None:
        """All decisions so far have come in."""
        if trial := self._trial:
            trial.looked(time.monotonic())

    def _hear(self, news: News) -> None:
        match news:
            case Done():
                self._answer(news)
            case Health():
                self._on_health(news)
                with self._healthy:
                    self._version, self._healths = news.version, self._healths + 1
                    self._healthy.notify_all()
            case Fault():
                if trial := self._trial:
                    trial.fault(news.process, news.reason)
                self._on_fault(news)
            case Notice():
                self._on_notice(news)

    def _answer(self, done: Done) -> None:
        if self._asked:
            asked = self._asked.popleft()
            asked.answer = done
            asked.answered.set()

    # --- the update's thread ---------------------------------------------------------------------

    def version(self) -> int:
        """See `Seat`."""
        return self._version

    def stage(self, path: Path, model: str, version: int) -> Done:
        """See `Seat`."""
        return self._ask(Stage(path=str(path), model=model, version=version), STAGE_S)

    def switch(self) -> Done:
        """See `Seat`."""
        return self._ask_and_look(Switch(), REQUEST_S)

    def revert(self, reason: str) -> Done:
        """See `Seat`."""
        return self._ask_and_look(Revert(reason=reason), STAGE_S)  # it may have to load the old model

    def retire(self) -> Done:
        """See `Seat`."""
        return self._ask(Retire(), REQUEST_S)

    def probation(self, version: int) -> str:
        """See `Seat`."""
        trial = Trial(version, time.monotonic(), self._probation_s, self._quiet_s)
        self._trial = trial
        try:
            while (verdict := trial.verdict(time.monotonic(), self._version)) is None:
                time.sleep(LOOK_S)
            return verdict
        finally:
            self._trial = None

    def _ask_and_look(self, request: Request, timeout_s: float) -> Done:
        """Ask, then wait for the next sign of health: after it `version` is what really decides."""
        done = self._ask(request, timeout_s)
        seen = self._healths
        with self._healthy:
            self._healthy.wait_for(lambda: self._healths > seen, HEALTH_S)
        return done

    def _ask(self, request: Request, timeout_s: float) -> Done:
        asked = _Asked(request)
        with self._asking:
            self._asked.append(asked)
            try:
                self._line.send(msgspec.json.encode(request))
            except OSError as exc:
                return Done(ok=False, reason=f"the supervisor is gone: {exc}")
        if not asked.answered.wait(timeout_s) or asked.answer is None:
            return Done(ok=False, reason=f"the supervisor did not answer within {timeout_s:.0f} s")
        return asked.answer
