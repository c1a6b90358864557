"""uvicorn, one or several servers in a process, ended by SIGTERM or SIGINT without ending the process around them."""

import asyncio
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import uvicorn


class Server(uvicorn.Server):
    """A server that leaves the signals to `serve`: uvicorn alone raises them again when it is done."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none."""
        yield


async def serve(servers: Sequence[Server], sockets: list[socket.socket] | None = None) -> None:
    """Run until SIGTERM or SIGINT, then let each end what it is at. `sockets`: listen there, not where configured."""

    def stop() -> None:
        for server in servers:
            server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    await asyncio.gather(*(server.serve(sockets) for server in servers))
