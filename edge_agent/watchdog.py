"""The watchdogs of systemd and of the hardware. The guard alone pets them, and only for a pulse of the supervisor.

A pulse says that the supervisor has looked at every process. So a pet proves that the guard turns, that the supervisor
turns, and that what it watches works or is being brought back; if one of the three fails, the pets end, and systemd
(or the hardware) starts everything anew. Standard library only, because the guard uses it.
Source: sd_notify(3), sd_watchdog_enabled(3); the kernel's Documentation/watchdog/watchdog-api.rst.
"""

import contextlib
import os
import socket
from collections.abc import MutableMapping
from pathlib import Path

from edge.errors import AgentError
from edge_agent.link import Pulse
from edge_agent.specs import WatchdogSpec

SHORTEST_S = 4.0
"""Pulses come once a second; a shorter period would end an agent that is merely busy."""
HARDWARE_PET_S = 1.0
_CLOSE_IN_ORDER = b"V"


def take_watchdog(environment: MutableMapping[str, str], file: Path | None) -> WatchdogSpec:
    """What systemd asks of us; its variables are taken out, so that no other process of ours can answer in our name.

    Raises: `AgentError` if it asks for more than we can promise.
    """
    address = environment.pop("NOTIFY_SOCKET", "")
    period_us, pid = environment.pop("WATCHDOG_USEC", "0"), environment.pop("WATCHDOG_PID", "")
    period_s = int(period_us) / 1e6 if period_us.isdecimal() and pid in {"", str(os.getpid())} else 0.0
    if 0 < period_s < SHORTEST_S:
        raise AgentError(
            f"systemd wants a sign of life every {period_s:g} s", remedy=f"set WatchdogSec={SHORTEST_S:g} or more"
        )
    return WatchdogSpec(notify=address, period_s=period_s, file=str(file or ""))


class Notifier:
    """Speaks to systemd. One that does not listen is no error: it notices silence by itself."""

    def __init__(self, address: str) -> None:
        """`address`: of $NOTIFY_SOCKET; empty: nobody listens."""
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    def say(self, *lines: str) -> None:
        """Send one datagram."""
        if self._address:
            with contextlib.suppress(OSError):
                self._socket.sendto("\n".join(lines).encode(), self._address)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class HardwareWatchdog:
    """A watchdog file such as /dev/watchdog: it runs from being opened until it is closed in order."""

    def __init__(self, path: str) -> None:
        """Open it, which starts it. Raises: `AgentError`."""
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        except OSError as exc:
            raise AgentError(
                f"cannot open the watchdog {path}: {exc.strerror}",
                remedy="let nobody else hold it (RuntimeWatchdogSec of systemd), or take guard.watchdog out",
            ) from exc

    def pet(self) -> None:
        """Put its reset off. What cannot be written shows itself in that reset."""
        with contextlib.suppress(OSError):
            os.write(self._fd, b"\0")

    def close(self, *, in_order: bool) -> None:
        """In order: stop it. Else it runs on, and resets the device unless a new guard comes in time."""
        if in_order:
            with contextlib.suppress(OSError):
                os.write(self._fd, _CLOSE_IN_ORDER)
        os.close(self._fd)


class Watchdog:
    """All that watch over the guard, petted for pulses."""

    def __init__(self, spec: WatchdogSpec) -> None:
        """Open what is configured; the guard is in its safe state already. Raises: `AgentError`."""
        self._systemd, self._period_s = Notifier(spec.notify), spec.period_s
        self._hardware = HardwareWatchdog(spec.file) if spec.file else None
        self._petted_s = self._petted_hardware_s = float("-inf")
        self._ready, self._status = False, ""

    def hear(self, pulse: Pulse, now_s: float) -> None:
        """Pass a pulse on to everybody whose turn it is."""
        if pulse.status != self._status:
            self._status = pulse.status
            self._systemd.say(f"STATUS={pulse.status}")
        if pulse.started and not self._ready:
            self._ready = True
            self._systemd.say("READY=1")
        if not pulse.works:
            return
        if self._period_s and now_s - self._petted_s >= self._period_s / 2:
            self._petted_s = now_s
            self._systemd.say("WATCHDOG=1")
        if self._hardware and now_s - self._petted_hardware_s >= HARDWARE_PET_S / 2:
            self._petted_hardware_s = now_s
            self._hardware.pet()

    def close(self, *, in_order: bool) -> None:
        """The guard ends; `in_order`: because it was told to, not because the supervisor is gone."""
        if in_order:
            self._systemd.say("STOPPING=1")
        if self._hardware:
            self._hardware.close(in_order=in_order)
        self._systemd.close()
