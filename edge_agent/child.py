"""One process of the agent over all its lives: how it is started, watched, and ended."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

import edge_agent
from edge_agent.backoff import Backoff
from edge_agent.link import MAX_PACKET_BYTES

HeardT = TypeVar("HeardT")
Prepare = Callable[[int], tuple[msgspec.Struct, tuple[int, ...]]]
"""From the descriptor of its end of the line to its spec and the other descriptors that it inherits."""


class Child(Generic[HeardT]):
    """A process with a line to it. It is given new memory of the world (its spec) at each start."""

    def __init__(
        self,
        name: str,
        module: str,
        prepare: Prepare,
        hears: msgspec.json.Decoder[HeardT],
        *,
        start_s: float = float("inf"),
        hang_s: float = float("inf"),
    ) -> None:
        """`start_s`: longest time until its first word; `hang_s`: between two words, from then on."""
        self.name, self.restarts, self.last_trouble = name, 0, ""
        self._module, self._prepare, self._decoder = module, prepare, hears
        self._start_s, self._hang_s = start_s, hang_s
        self._backoff = Backoff()
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._spoke_s = self._again_s = 0.0
        self._spoken = False

    @property
    def pid(self) -> int:
        """Process id; 0 while it is down."""
        return self._process.pid if self._process else 0

    @property
    def line(self) -> socket.socket | None:
        """Our end of the line; None while it is down."""
        return self._line

    def due(self, now_s: float) -> bool:
        """Whether it is down, and it is time to start it."""
        return self._process is None and now_s >= self._again_s

    def start(self) -> None:
        """Start the process, with a line of its own."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        spec, inherited = self._prepare(theirs.fileno())
        command = [sys.executable, "-P", "-m", self._module, msgspec.json.encode(spec).decode()]
        descriptors = {theirs.fileno(), *(fd for fd in inherited if fd >= 0)}
        with theirs:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, pass_fds=tuple(descriptors), env=_environment()
            )
        self._line, self._spoken, self._spoke_s = ours, False, time.monotonic()

    def hear(self) -> list[HeardT]:
        """Everything that it has said since the last call."""
        heard: list[HeardT] = []
        while self._line is not None:
            try:
                data = self._line.recv(MAX_PACKET_BYTES)
            except (BlockingIOError, ConnectionError):
                break
            if not data:
                break
            heard.append(self._decoder.decode(data))
            self._spoken, self._spoke_s = True, time.monotonic()
        return heard

    def tell(self, packet: msgspec.Struct) -> None:
        """Say something; lost if it is down or stuck, for its next spec will hold it."""
        if self._line is not None:
            try:
                self._line.send(msgspec.json.encode(packet))
            except (BlockingIOError, BrokenPipeError, ConnectionError):
                return

    def trouble(self, now_s: float) -> str:
        """Empty while all is well; else what is wrong."""
        if self._process is None:
            return ""
        code = self._process.poll()
        if code is not None:
            return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        silent_s = now_s - self._spoke_s
        if silent_s > (self._hang_s if self._spoken else self._start_s):
            return f"said nothing for {silent_s:.1f} s"
        return ""

    def fail(self, reason: str, now_s: float) -> None:
        """Kill what is left of it; it is due again after a pause."""
        self.kill()
        self.restarts, self.last_trouble = self.restarts + 1, reason
        self._again_s = self._backoff.failed(now_s)

    def ask_to_end(self) -> None:
        """Let it finish what it does, and end."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def ended(self) -> bool:
        """Whether nothing of it runs."""
        return self._process is None or self._process.poll() is not None

    def kill(self) -> None:
        """End it now, even if it is stopped, and close the line."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._line is not None:
            self._line.close()
            self._line = None


def _environment() -> dict[str, str]:
    """Ours, and where this package lies: a child must not find another `edge` in the folder where it is started."""
    root = str(Path(edge_agent.__file__).parents[1])
    path = os.environ.get("PYTHONPATH")
    return os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{path}" if path else root}
