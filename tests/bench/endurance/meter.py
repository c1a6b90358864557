"""A wire between a device and its fleet that counts what comes down it, and may be slow. TLS goes through as it is."""

import asyncio
import contextlib
import threading

PIECE_BYTES = 1 << 14


class Meter:
    """Use: `with Meter(port) as wire:`, connect to `wire.port`, read `wire.received`."""

    def __init__(self, to_port: int, *, rate_bytes_s: float = 0.0) -> None:
        """`to_port`: of the fleet, on 127.0.0.1. `rate_bytes_s`: of each connection downwards; 0: no limit."""
        self._to_port, self._rate_bytes_s = to_port, rate_bytes_s
        self.port = self.received = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="meter", daemon=True)

    def __enter__(self) -> "Meter":
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        server = self._loop.run_until_complete(asyncio.start_server(self._join, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()

    async def _join(self, device: asyncio.StreamReader, to_device: asyncio.StreamWriter) -> None:
        try:
            fleet, to_fleet = await asyncio.open_connection("127.0.0.1", self._to_port)
        except OSError:
            to_device.close()
            return
        ways = [
            asyncio.ensure_future(self._carry(fleet, to_device, down=True)),
            asyncio.ensure_future(self._carry(device, to_fleet, down=False)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        for end in (to_device, to_fleet):
            end.close()

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, down: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := await source.read(PIECE_BYTES):
                sink.write(piece)
                await sink.drain()
                if down:
                    self.received += len(piece)
                    if self._rate_bytes_s:
                        await asyncio.sleep(len(piece) / self._rate_bytes_s)
