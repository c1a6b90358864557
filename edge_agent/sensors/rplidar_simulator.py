"""A lidar without hardware: speaks the RPLidar's protocol on a pseudo-terminal.

    python -m edge_agent.sensors.rplidar_simulator 2.0

prints the name of the port, and shows a wall at 2 metres all around until it is ended.
"""

import os
import select
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import xor

from edge_agent.sensors import rplidar_protocol as protocol

World = Callable[[float, float], float]
"""Distance in metres (0: none) in a direction in degrees, at a time in seconds since the start."""
POINTS = 360


@dataclass(slots=True)
class Faults:
    """What is wrong with it; may be changed while it runs."""

    health: int = 0
    """0 good, 1 warning, 2 error."""
    lose_every: int = 0
    """Every so many nodes, a byte gets lost; 0: none."""
    silent: bool = False


class RPLidarSimulator:
    """Use: `with RPLidarSimulator(lambda angle_deg, now_s: 2.0) as lidar:` and open `lidar.port`."""

    def __init__(self, world: World, *, turns_hz: float = 5.5) -> None:
        self._world, self._turn_s = world, 1 / turns_hz
        self.faults = Faults()
        self.requests: list[int] = []
        """Commands that came in, in their order; those with a wrong checksum are not among them."""
        self._master, slave = os.openpty()
        tty.setraw(slave, termios.TCSANOW)
        self._slave, self.port = slave, os.ttyname(slave)
        self._scanning = self._ended = False
        self._input = b""
        self._nodes = 0
        self._thread = threading.Thread(target=self._serve, name="rplidar simulator", daemon=True)

    def __enter__(self) -> "RPLidarSimulator":
        self._began_s = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.unplug()

    def unplug(self) -> None:
        """End at once: the port is gone."""
        self._ended = True
        self._thread.join()
        for fd in (self._master, self._slave):
            if fd >= 0:
                os.close(fd)
        self._master = self._slave = -1

    def _serve(self) -> None:
        """Answer requests; while measuring, send the nodes of a few degrees at a time."""
        step, next_s = 0, time.monotonic()
        while not self._ended:
            wait_s = max(0.0, next_s - time.monotonic()) if self._scanning else 0.05
            if select.select([self._master], [], [], wait_s)[0]:
                self._input += os.read(self._master, 4096)
                self._answer()
                step, next_s = (step, next_s) if self._scanning else (0, time.monotonic())
            elif self._scanning:
                self._send(b"".join(self._node(angle) for angle in range(step, step + 10)))
                step = (step + 10) % POINTS
                next_s = max(next_s + self._turn_s * 10 / POINTS, time.monotonic() - self._turn_s)

    def _node(self, angle: int) -> bytes:
        node = protocol.encode_node(
            float(angle), self._world(float(angle), time.monotonic() - self._began_s), first=angle == 0
        )
        self._nodes += 1
        lose = self.faults.lose_every and self._nodes % self.faults.lose_every == 0
        return node[:2] + node[3:] if lose else node

    def _answer(self) -> None:
        """Take whole requests out of the input."""
        while (at := self._input.find(bytes((protocol.START,)))) >= 0 and len(self._input) > at + 1:
            command = self._input[at + 1]
            size = 2
            if command & 0x80:
                size = 4 + self._input[at + 2] if len(self._input) > at + 2 else 5
            if len(self._input) < at + size:
                return
            words, self._input = self._input[at : at + size], self._input[at + size :]
            if size == 2 or reduce(xor, words[:-1]) == words[-1]:
                self.requests.append(command)
                self._obey(command)

    def _obey(self, command: int) -> None:
        if command == protocol.SCAN:
            self._send(protocol.descriptor(5, many=True, kind=protocol.SCAN_TYPE))
            self._scanning = True
        elif command in {protocol.STOP, protocol.RESET}:
            self._scanning = False
        elif command == protocol.GET_HEALTH:
            data = bytes((self.faults.health, 0, 0))
            self._send(protocol.descriptor(3, many=False, kind=protocol.HEALTH_TYPE) + data)
        elif command == protocol.GET_INFO:
            data = bytes((0x18, 29, 1, 7)) + bytes(16)  # model A1, firmware 1.29, hardware 7, a serial number of zeros
            self._send(protocol.descriptor(20, many=False, kind=protocol.INFO_TYPE) + data)

    def _send(self, data: bytes) -> None:
        """A reader that is not there, or slow, loses bytes, as on a wire."""
        if not self.faults.silent and select.select([], [self._master], [], 0)[1]:
            os.write(self._master, data)


def main() -> None:
    """Run one until Ctrl-C."""
    wall_m = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    with RPLidarSimulator(lambda *_: wall_m) as lidar:
        print(lidar.port, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
