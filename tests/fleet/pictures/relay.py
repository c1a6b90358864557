"""Pictures that a device keeps, and a line to it that a test can cut, and how they are fetched."""

import contextlib
import select
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edge.kept import Remark, kept_name
from edge_agent.png import encode_png
from fleet.picture_line import Patience
from fleet.pictures import Fetched, fetch_pictures

TENANT, CAR, WAIT_S = "acme", "car-1", 30.0
NOISE = np.random.default_rng(1).integers(0, 255, (300, 300, 3), np.uint8)


def keep(folder: Path, number: int) -> bytes:
    """One picture of 270 kB, as the keeper writes it; returns its bytes."""
    remark = Remark(model="light", version=2, frame=number, wall_ns=number, label="gr\x1b[2Jün", score=0.5)
    data = encode_png(NOISE + np.uint8(number), msgspec.json.encode(remark).decode())
    (folder / kept_name(remark)).write_bytes(data)
    return data


class Relay:
    """A port in front of the broker whose connections can be cut, and kept from coming back for a while."""

    def __init__(self, port: int) -> None:
        self._there, self._pairs, self._lock = port, list[tuple[socket.socket, socket.socket]](), threading.Lock()
        self.dead = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._listener.accept()
                if self.dead.is_set():
                    here.close()
                    continue
                there = socket.create_connection(("127.0.0.1", self._there))
                with self._lock:
                    self._pairs.append((here, there))
                threading.Thread(target=self._carry, args=(here, there), daemon=True).start()

    @staticmethod
    def _carry(here: socket.socket, there: socket.socket) -> None:
        ways = {here: there, there: here}
        with contextlib.suppress(OSError, ValueError):
            while True:
                for ready in select.select(list(ways), [], [])[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    ways[ready].sendall(data)

    def cut(self) -> None:
        with self._lock:
            for one in self._pairs:
                for end in one:
                    with contextlib.suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)
                    end.close()
            self._pairs.clear()

    def close(self) -> None:
        self.dead.set()
        self._listener.close()
        self.cut()


def fetch(
    source: Any, folder: Path, *, newest: int = 10, wait_s: float = WAIT_S, progress: Callable[[int], None] = id
) -> Fetched:
    patience = Patience(wait_s, lambda _text: None)
    return fetch_pictures(source, CAR, folder, newest=newest, patience=patience, progress=progress)
