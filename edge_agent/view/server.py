"""Serves the page, the newest picture and the newest decision; GET and HEAD only, and only to whom it is addressed."""

import errno
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.errors import AgentError, PortTakenError
from edge_agent.png import encode_png
from edge_agent.recording.messages import Life, Turn
from edge_agent.view.page import PAGE

_POLICY = (
    "default-src 'none'; img-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)
READ_S = 5.0
"""A visitor that says nothing for so long is hung up on."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """`state.json`."""

    device: str
    model: str
    version: int = 0
    frame: int = 0
    """0: nothing was decided yet."""
    action: str = ""
    label: str = ""
    score: float = 0.0
    age_ms: float = 0.0
    """Captured to handed to the guard."""
    loop_ms: float = 0.0
    """Read by the loop to handed to the guard."""
    silent_s: float = 0.0
    """Since then."""


class Newest:
    """What was decided last; written by one thread, read by many."""

    def __init__(self, device: str, model: str) -> None:
        self._seen, self._picture, self._handed_ns = Seen(device=device, model=model), np.zeros((1, 1), np.uint8), 0
        self._lock = threading.Lock()

    def take(self, life: Life, turn: Turn) -> None:
        """Note one turn; of what is no picture nothing is shown."""
        pixels = turn.picture.array()
        picture = pixels.view(np.uint8) if pixels.dtype == np.uint8 and pixels.ndim in {2, 3} else self._picture
        seen = msgspec.structs.replace(
            self._seen,
            version=life.version,
            frame=turn.frame,
            action=life.actions[turn.action],
            label=life.labels[turn.label] if 0 <= turn.label < len(life.labels) else "",
            score=turn.score if np.isfinite(turn.score) else 0.0,
            age_ms=(turn.handed_ns - turn.captured_ns) / 1e6,
            loop_ms=(turn.handed_ns - turn.read_ns) / 1e6,
        )
        with self._lock:
            self._seen, self._picture, self._handed_ns = seen, picture, turn.handed_ns

    def state(self) -> bytes:
        """As JSON."""
        with self._lock:
            seen, handed_ns = self._seen, self._handed_ns
        silent_s = (time.monotonic_ns() - handed_ns) / 1e9 if handed_ns else 0.0
        return msgspec.json.encode(msgspec.structs.replace(seen, silent_s=silent_s))

    def picture(self) -> bytes:
        """As PNG."""
        with self._lock:
            picture: NDArray[np.uint8] = self._picture
        return encode_png(picture)


def make_server(host: str, port: int, newest: Newest) -> ThreadingHTTPServer:
    """Listen; the caller serves. Raises: `PortTakenError`, `AgentError`."""

    class Visit(BaseHTTPRequestHandler):
        timeout = READ_S
        server_version, sys_version = "edge", ""

        def do_GET(self) -> None:
            self._answer(body=True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def _answer(self, *, body: bool) -> None:
            place = self.path.partition("?")[0]
            if not _is_for_us(self.headers.get("Host", ""), host):
                self.send_error(421)
            elif place == "/":
                self._send("text/html; charset=utf-8", PAGE, body=body)
            elif place == "/state.json":
                self._send("application/json", newest.state(), body=body)
            elif place == "/frame.png":
                self._send("image/png", newest.picture(), body=body)
            else:
                self.send_error(404)

        def _send(self, kind: str, data: bytes, *, body: bool) -> None:
            self.send_response(200)
            for name, value in (
                ("Content-Type", kind),
                ("Content-Length", str(len(data))),
                ("Cache-Control", "no-store"),
                ("Content-Security-Policy", _POLICY),
                ("X-Content-Type-Options", "nosniff"),
                ("Cross-Origin-Resource-Policy", "same-origin"),
            ):
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in the base class
            """Keep the log for what matters."""

    try:
        server = ThreadingHTTPServer((host, port), Visit)
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            raise PortTakenError(f"port {port} is taken", remedy="end who listens there, or set view.port") from exc
        raise AgentError(f"cannot listen on {host}:{port}: {exc.strerror}", remedy="correct view.host") from exc
    server.daemon_threads = True
    return server


def _is_for_us(name: str, host: str) -> bool:
    """A page of another site must not reach us through a name that it points here: addresses and our own name only."""
    bare = name.rpartition(":")[0] if name.rpartition(":")[2].isdecimal() else name
    bare = bare.strip("[]")
    if bare in {"localhost", host}:
        return True
    try:
        ip_address(bare)
    except ValueError:
        return False
    return True
