"""How the machine is: temperature, throttling, memory, load, disk. Small files only, standard library only.

Sources: the kernel's Documentation/driver-api/thermal/sysfs-api.rst (millidegrees), proc(5), and for the bits of
`get_throttled` Raspberry Pi's documentation of vcgencmd.
"""

import contextlib
import os
from pathlib import Path

import msgspec

_THROTTLED = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
"""Bits that say what is so now; those from 16 on say what has been since boot."""
SLOWED = frozenset({"frequency capped", "throttled", "soft temperature limit"})
"""What less work may cure."""
_MIB = 1 << 20


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """Where the files lie."""

    thermal: Path
    throttled: Path
    proc: Path
    disk: Path
    """Any folder of the disk that matters."""


class MachineHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One look; None where this machine does not say."""

    temperature_c: float | None
    """Of the hottest zone."""
    throttled: tuple[str, ...]
    memory_mib: int | None
    memory_free_mib: int | None
    """What could be had without swapping."""
    load: float | None
    """Of the last minute."""
    disk_free_mib: int | None

    @property
    def slowed(self) -> bool:
        """Whether the machine has made itself slower because of heat or current."""
        return not SLOWED.isdisjoint(self.throttled)


def look(places: Places) -> MachineHealth:
    """Read everything; what cannot be read is None."""
    memory = _memory_mib(places.proc / "meminfo")
    return MachineHealth(
        temperature_c=_temperature_c(places.thermal),
        throttled=_throttled(places.throttled),
        memory_mib=memory.get("MemTotal"),
        memory_free_mib=memory.get("MemAvailable"),
        load=_number(_text(places.proc / "loadavg").partition(" ")[0]),
        disk_free_mib=_disk_free_mib(places.disk),
    )


def describe(health: MachineHealth) -> str:
    """For people, on one line."""
    words = [
        f"{health.temperature_c:.1f} °C" if health.temperature_c is not None else "temperature unknown",
        *health.throttled,
    ]
    if health.memory_mib is not None and health.memory_free_mib is not None:
        words.append(f"{health.memory_free_mib} of {health.memory_mib} MiB memory free")
    if health.load is not None:
        words.append(f"load {health.load:.2f}")
    if health.disk_free_mib is not None:
        words.append(f"{health.disk_free_mib} MiB disk free")
    return ", ".join(words)


def _temperature_c(folder: Path) -> float | None:
    found = [_number(_text(zone / "temp")) for zone in sorted(folder.glob("thermal_zone*"))]
    known = [millidegrees / 1000 for millidegrees in found if millidegrees is not None]
    return max(known, default=None)


def _throttled(file: Path) -> tuple[str, ...]:
    with contextlib.suppress(ValueError):
        bits = int(_text(file).removeprefix("throttled=") or "0", 16)
        return tuple(name for bit, name in _THROTTLED.items() if bits >> bit & 1)
    return ()


def _memory_mib(file: Path) -> dict[str, int]:
    rows = (line.split() for line in _text(file).splitlines())
    return {row[0].rstrip(":"): int(row[1]) // 1024 for row in rows if len(row) == 3 and row[1].isdecimal()}


def _disk_free_mib(folder: Path) -> int | None:
    try:
        status = os.statvfs(folder)
    except OSError:
        return None
    return status.f_bavail * status.f_frsize // _MIB


def _number(text: str) -> float | None:
    with contextlib.suppress(ValueError):
        return float(text)
    return None


def _text(file: Path) -> str:
    """A file that is not there, or a sensor that does not answer, says nothing."""
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
