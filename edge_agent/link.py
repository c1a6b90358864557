"""The line between the supervisor and one of its processes: one JSON message a packet on a SOCK_SEQPACKET pair.

Its end tells each side that the other is gone, so no process outlives the supervisor. Also how every process begins.
"""

import contextlib
import ctypes
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import TypeVar

import msgspec

from edge.errors import AgentError, EdgeError
from edge.manifest import InputContract
from edge_agent.specs import Spec

BEAT_S = 0.5
"""A process speaks at least this often."""
MAX_PACKET_BYTES = 65536
SpecT = TypeVar("SpecT", bound=Spec)
_PR_SET_PDEATHSIG = 1  # Source: prctl(2)


class Packet(msgspec.Struct, frozen=True, kw_only=True, tag=str.lower):
    """Base of all packets; the tag is the class name in lower case."""


# --- supervisor -> process ---------------------------------------------------------------------


class Act(Packet, frozen=True, kw_only=True):
    """To capture: from the next frame on, loop `active` decides, under `epoch`, and wants frames for `contract`."""

    epoch: int
    active: int
    contract: InputContract
    fps: float
    """Frames a second to offer."""


class Rehearse(Packet, frozen=True, kw_only=True):
    """To capture and the loops: whether to rehearse from now on, as far as the configuration wants it."""

    on: bool


class Allow(Packet, frozen=True, kw_only=True):
    """To the guard: commands of `epoch` may come."""

    epoch: int


class Pulse(Packet, frozen=True, kw_only=True):
    """To the guard, once a second: the supervisor has looked at every process."""

    works: bool
    """What makes decisions works, or has not been away for long."""
    started: bool
    """The first model decides, or nobody waits for one any more."""
    status: str
    """For a person who asks systemd."""


# --- process -> supervisor ---------------------------------------------------------------------


class Beat(Packet, frozen=True, kw_only=True):
    """I am alive."""


class LoopReady(Packet, frozen=True, kw_only=True):
    """The loop has loaded, checked and warmed its model. `p95_us`: of inference on the golden samples."""

    version: int
    p95_us: float
    contract: InputContract
    labels: tuple[str, ...]
    has_smaller: bool = False
    """The bundle holds a smaller variant than the one that was loaded."""


class CaptureBeat(Packet, frozen=True, kw_only=True):
    """Capture is alive. `trouble`: empty, or why no frames come."""

    frame: int
    dropped: int
    trouble: str = ""


class SensorsBeat(Packet, frozen=True, kw_only=True):
    """The sensors process is alive. `troubles`: why nothing new comes, by the name of a sensor that is in trouble."""

    troubles: dict[str, str]


class Ended(Packet, frozen=True, kw_only=True):
    """The source has no more frames and was told not to begin again."""


class GuardBeat(Packet, frozen=True, kw_only=True):
    """The guard is alive. Ages of applied frames in milliseconds; counts since it started."""

    action: str
    safe: bool
    epoch: int
    applied: int
    safe_stops: int
    refused_stale: int
    refused_epoch: int
    refused_order: int
    age_ms: float


class Failed(Packet, frozen=True, kw_only=True):
    """The process ends because of an error that a person must read. `error`: a class of `edge.errors`."""

    error: str
    problem: str
    remedy: str


Order = Act | Rehearse | Allow | Pulse
News = Beat | LoopReady | CaptureBeat | SensorsBeat | Ended | GuardBeat | Failed


class Link:
    """The process's end of the line."""

    def __init__(self, line: socket.socket) -> None:
        line.setblocking(False)
        self._line = line
        self._decoder = msgspec.json.Decoder(Order)
        self._due_s = 0.0
        self.open = True
        """False once the supervisor is gone."""
        self.told_to_end = False

    def fileno(self) -> int:
        """For select() and poll()."""
        return self._line.fileno()

    def hang_up(self) -> None:
        """End this side: `orders()` notices at its next call, and a select() in progress returns at once."""
        self.told_to_end = True
        with contextlib.suppress(OSError):
            self._line.shutdown(socket.SHUT_RD)

    def orders(self) -> list[Order]:
        """Everything the supervisor has said since the last call; notices its end."""
        found: list[Order] = []
        while self.open:
            try:
                data = self._line.recv(MAX_PACKET_BYTES)
            except BlockingIOError:
                break
            except ConnectionError:
                data = b""
            if data:
                found.append(self._decoder.decode(data))
            else:
                self.open = False
        return found

    def say(self, news: News) -> None:
        """Tell the supervisor; a packet that does not fit is dropped, for it must be stuck."""
        try:
            self._line.send(msgspec.json.encode(news))
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionError):
            self.open = False

    def beat_due(self) -> bool:
        """Say once every `BEAT_S` that it is time for a sign of life."""
        now_s = time.monotonic()
        if now_s < self._due_s:
            return False
        self._due_s = now_s + BEAT_S
        return True


def start_child(kind: type[SpecT], run: Callable[[SpecT, Link], None]) -> None:
    """Run one process of the agent: spec (of type `kind`, JSON in argv[1]) in, errors to the supervisor.

    `run` returns when the process shall end, at the latest when its link is no longer open.
    """
    spec = msgspec.json.decode(sys.argv[1], type=kind)
    link = Link(socket.socket(fileno=spec.link_fd))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the supervisor decides what it means
    signal.signal(signal.SIGTERM, lambda *_: link.hang_up())
    try:
        run(spec, link)
    except EdgeError as exc:
        link.say(Failed(error=type(exc).__name__, problem=exc.problem, remedy=exc.remedy))
        raise SystemExit(exc.exit_code) from exc


def die_with(parent: int) -> None:
    """Let the kernel kill this process when its parent (by process id) ends, even if it is stopped or hangs.

    Raises `AgentError` if the parent has ended already.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        raise AgentError("the supervisor is gone", remedy="start the agent again")
