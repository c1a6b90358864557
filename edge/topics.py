"""The only place where an MQTT topic is built or parsed.

A device is confined to `edge/v1/{tenant}/d/{device}/`: it writes below `up/` and reads below `down/`.
"""

import re
from dataclasses import dataclass
from typing import Literal, get_args

from edge.errors import BadMessageError

ROOT = "edge/v1"
UpKind = Literal["presence", "reported", "tlm", "update", "ota/req", "cmd-result", "picture"]
DownKind = Literal["desired", "ack", "ota/chunk", "cmd"]
UP_KINDS: tuple[str, ...] = get_args(UpKind)
DOWN_KINDS: tuple[str, ...] = get_args(DownKind)

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$(?!\n)"
"""Tenants, devices and model names: safe in a topic, a file name, a URL and a line.

`$` alone would let a newline follow."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One parsed topic. `direction` is "up" (device to fleet) or "down"."""

    tenant: str
    device: str
    direction: str
    kind: str


def is_id(text: str) -> bool:
    """Say whether `text` may name a tenant, a device or a model."""
    return re.match(ID_PATTERN, text) is not None


def up(tenant: str, device: str, kind: UpKind) -> str:
    """Topic on which the device speaks."""
    return f"{ROOT}/{tenant}/d/{device}/up/{kind}"


def down(tenant: str, device: str, kind: DownKind) -> str:
    """Topic on which the fleet speaks to the device."""
    return f"{ROOT}/{tenant}/d/{device}/down/{kind}"


def all_up(tenant: str, kind: UpKind) -> str:
    """Filter that matches one kind from every device."""
    return up(tenant, "+", kind)


def all_down(tenant: str, device: str) -> str:
    """Filter that matches everything the fleet says to one device."""
    return f"{ROOT}/{tenant}/d/{device}/down/#"


def parse(topic: str) -> Topic:
    """Take a topic apart, or raise `BadMessageError`."""
    match topic.split("/"):
        case ["edge", "v1", tenant, "d", device, "up", *kind] if "/".join(kind) in UP_KINDS:
            return Topic(tenant, device, "up", "/".join(kind))
        case ["edge", "v1", tenant, "d", device, "down", *kind] if "/".join(kind) in DOWN_KINDS:
            return Topic(tenant, device, "down", "/".join(kind))
    raise BadMessageError(f"not a topic of ours: {topic!r}", remedy="run agent and fleet of one release")
