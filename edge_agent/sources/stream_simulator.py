"""A network camera without hardware: MJPEG over HTTP on 127.0.0.1, from this process.

    python -m edge_agent.sources.stream_simulator 8080

shows grey pictures that grow lighter, 20 a second, at http://127.0.0.1:8080/.
"""

import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BOUNDARY = "picture"


class StreamSimulator:
    """Use: `with StreamSimulator() as camera:` and open `camera.url`; `frozen` shows nothing new, `drop()` hangs up."""

    def __init__(self, *, port: int = 0, width: int = 64, height: int = 48, fps: float = 20.0) -> None:
        self._size, self._period_s = (height, width, 3), 1 / fps
        self.frozen = False
        self.value = 0
        """Grey of the last picture that was sent."""
        self.viewers = 0
        self._drops = 0
        self._ended = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}/"

    def __enter__(self) -> "StreamSimulator":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def drop(self) -> None:
        """Break off every connection; viewers may come again."""
        self._drops += 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        simulator = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
                self.end_headers()
                simulator.viewers += 1
                drops = simulator._drops
                try:
                    while not simulator._ended.wait(simulator._period_s) and drops == simulator._drops:
                        if not simulator.frozen:
                            self.wfile.write(simulator._next())
                except OSError:
                    return  # the viewer has left
                finally:
                    simulator.viewers -= 1

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature of http.server
                """Say nothing on stderr."""

        return Handler

    def picture(self) -> "NDArray[np.uint8]":
        """The next one, uint8 [height, width, 3] in BGR order; a subclass may show something else."""
        import numpy as np

        self.value = self.value % 250 + 1
        return np.full(self._size, self.value, np.uint8)

    def _next(self) -> bytes:
        import cv2

        _, jpeg = cv2.imencode(".jpg", self.picture())
        head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {jpeg.size}\r\n\r\n"
        return head.encode() + jpeg.tobytes() + b"\r\n"


def main() -> None:
    """Run one until Ctrl-C."""
    with StreamSimulator(port=int(sys.argv[1])) as camera:
        print(camera.url, flush=True)
        while True:
            time.sleep(1)


if __name__ == "__main__":
    main()
