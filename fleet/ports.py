"""Ports and sockets: whether we may have them, who listens, how they are addressed."""

import contextlib
import errno
import ipaddress
import os
import socket
import ssl
from pathlib import Path

from edge.errors import BadArgumentError, PortTakenError


def claim(bind: str, port: int, option: str) -> int:
    """Check that `port` is free (0: choose one) and return it. Raises `PortTakenError`, `BadArgumentError`."""
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind, port))
            probe.listen(1)
        except OSError as exc:
            if exc.errno in (errno.EADDRINUSE, errno.EACCES):
                problem = (
                    f"port {port} of {bind} is taken" if exc.errno == errno.EADDRINUSE else f"port {port} is for root"
                )
                remedy = f"see who has it: ss -ltnp 'sport = :{port}'; or pass another one: {option} PORT (0: any)"
                raise PortTakenError(problem, remedy=remedy) from exc
            raise BadArgumentError(f"cannot listen on {bind}: {exc}", remedy="name an address of this machine") from exc
        except OverflowError as exc:
            raise BadArgumentError(f"{port} is no port", remedy="use 0 to 65535") from exc
        return int(probe.getsockname()[1])


def answers(host: str, port: int, ca: Path | None = None) -> bool:
    """Say whether somebody listens there; with `ca`, whether it is a server with a certificate of that CA."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=2) as link:
        if ca is not None:
            context = ssl.create_default_context(cafile=str(ca))
            context.check_hostname = False  # asked under a local address, it may be named for another one
            with context.wrap_socket(link) as wrapped:
                wrapped.unwrap()
        return True
    return False


def is_loopback(address: str) -> bool:
    """Say whether only this machine can reach `address`."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def socket_address(path: Path) -> str:
    """A Unix socket's address has at most 107 bytes; a longer path goes through the folder's own descriptor."""
    if len(os.fsencode(path)) < 100:
        return str(path)
    descriptor = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    return f"/proc/{os.getpid()}/fd/{descriptor}/{path.name}"
