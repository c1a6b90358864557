"""What the uplink asks of the supervisor, and what it hears: one JSON message a packet on a SOCK_SEQPACKET pair.

The uplink decides (journal, trust, probation); the supervisor acts (processes, the switch). Every request is answered
by exactly one `Done`, in order; `Fault`, `Health` and `Notice` come whenever they happen.
"""

import msgspec

from edge_agent.watch.health import MachineHealth

MAX_PACKET_BYTES = 65536


class Packet(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all packets; the tag is the class name in lower case."""


class Stage(Packet, frozen=True, kw_only=True, tag="stage"):
    """Load this verified bundle in the standby loop, check its golden samples there, warm it. Takes seconds."""

    path: str
    model: str
    version: int


class Switch(Packet, frozen=True, kw_only=True, tag="switch"):
    """Let the staged loop decide from the next frame on; the old one stays warm."""


class Revert(Packet, frozen=True, kw_only=True, tag="revert"):
    """Let the old loop decide again, and end the new one."""

    reason: str


class Retire(Packet, frozen=True, kw_only=True, tag="retire"):
    """The new version is committed: end the loop that does not decide, and free its memory."""


class Done(Packet, frozen=True, kw_only=True, tag="done"):
    """The answer to one request."""

    ok: bool
    reason: str = ""
    """Empty, or CODE: sentence."""
    p95_us: float = 0.0
    """After `Stage`: 95th percentile of inference on the golden samples, in microseconds."""


class Fault(Packet, frozen=True, kw_only=True, tag="fault"):
    """A process ended or hung and was started again."""

    process: str
    reason: str
    restarts: int


class Health(Packet, frozen=True, kw_only=True, tag="health"):
    """Once a second: which version decides, and how every process and the machine is."""

    version: int
    epoch: int
    processes: dict[str, int]
    """Name to process id; 0 while it is down."""
    machine: MachineHealth | None = None
    """As last seen; None until the machine was looked at."""
    heat: int = 0
    """What the agent does without, as `edge_agent.watch.heat` counts it."""


class Notice(Packet, frozen=True, kw_only=True, tag="notice"):
    """Something that a person may want to know."""

    kind: str
    text: str


Request = Stage | Switch | Revert | Retire
News = Done | Fault | Health | Notice
