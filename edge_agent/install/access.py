"""Which device files and groups a configuration needs: one line for each kind that touches hardware."""

from collections.abc import Iterable
from typing import NamedTuple

from edge_agent.config import AgentConfig


class Access(NamedTuple):
    """What a kind may open. `devices`: as systemd's DeviceAllow= names them; classes, so that plugging in works."""

    devices: tuple[str, ...]
    groups: tuple[str, ...]


_CAMERA = Access(("char-video4linux rw",), ("video",))
_PINS = Access(("char-gpiochip rw", "/dev/gpiomem rw"), ("gpio",))
_SERIAL = Access(("char-ttyUSB rw", "char-ttyACM rw", "char-ttyAMA rw"), ("dialout",))
ACCESS = {
    "camera": _CAMERA,
    "led": _PINS,
    "servo": _PINS,
    "microphone": Access(("char-alsa rw",), ("audio",)),
    "picamera": Access(("char-video4linux rw", "char-media rw", "char-dma_heap rw"), ("video",)),
    "pins": _PINS,
    "i2c": Access(("char-i2c rw",), ("i2c",)),
    "rplidar": _SERIAL,
    "modbus": _SERIAL,
}
"""Kinds that are not here need no device file; `--device` and `--group` add what the user's own classes need."""


def access_of(config: AgentConfig, devices: Iterable[str] = (), groups: Iterable[str] = ()) -> Access:
    """Everything that the kinds of this configuration need, and what was asked for besides; nothing twice."""
    kinds = [config.source.kind, *(one.kind for one in config.sensors), *(one.kind for one in config.actuators)]
    needed = [ACCESS[kind] for kind in kinds if kind in ACCESS]
    watchdog = [f"{config.guard.watchdog} w"] if config.guard.watchdog else []
    return Access(
        tuple(dict.fromkeys([*(d for one in needed for d in one.devices), *watchdog, *map(_with_rights, devices)])),
        tuple(dict.fromkeys([*(g for one in needed for g in one.groups), *groups])),
    )


def _with_rights(device: str) -> str:
    return device if " " in device else f"{device} rw"
