"""What the supervisor tells the uplink when it starts it, and what the uplink tells `edge status`.

The supervisor runs `python -m edge_agent.uplink.process SPEC`, SPEC being an `UplinkSpec` as JSON, with both file
descriptors inherited. The uplink may be killed and started again at any time: then it is given a new spec with the
version and epoch of that moment, reads its journal and goes on. So the supervisor must take every request again: a
second `Stage` replaces the standby loop; a `Switch`, `Revert` or `Retire` that finds nothing to do is `Done(ok=True)`.
"""

from pathlib import Path
from typing import Literal

import msgspec

Transport = Literal["auto", "http", "mqtt"]
Keeping = Literal["spill", "disk", "memory"]
"""Where telemetry waits for the fleet."""


Pictures = Literal["none", "kept", "sent"]
"""What becomes of pictures of which the model was not sure."""


class UplinkSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything the uplink needs. Paths are absolute."""

    control_fd: int
    """Our end of the SOCK_SEQPACKET pair that carries `edge_agent.control`."""
    records_fd: int
    """Read end of the pipe that carries `edge_agent.records`."""
    state_dir: str
    """Folder on a disk that survives a reboot; `run/` below it need not."""
    model: str
    """Name of the model that this device runs."""
    target: str
    """Target of this device: a bundle for another one is refused."""
    actions: tuple[str, ...]
    """What `Decided.action` and `Applied.action` index."""
    safe_action: str
    labels: tuple[str, ...] = ()
    """What `Decided.label` indexes for `version`; of later versions the uplink reads the labels from their bundles."""
    version: int = 0
    """Version that decides now; 0 when the device has no model yet."""
    bundle: str = ""
    """The bundle of `version`, for its drift baseline; empty when there is none."""
    epoch: int = 0
    """Epoch of the loop that decides now."""
    boot_reason: str = ""
    """`BootChoice.reason`: empty, or CODE: sentence."""
    enrol: str = ""
    """Path of the enrolment file; empty: no fleet, the uplink only adds up and writes its status."""
    window_s: float = 1.0
    probation_s: float = 60.0
    """How long a new version must decide without a fault before it is committed."""
    quiet_s: float = 10.0
    """Longest time without a decision that probation allows."""
    p95_limit_ms: float = 0.0
    """Self-test fails above this 95th percentile of inference; 0: no limit."""
    drift_limit: float = 0.2
    """Population stability index of the scores above which a drift event is sent."""
    disk_margin_mib: int = 16
    """An update needs twice the bundle's size and this much besides."""
    transport: Transport = "auto"
    """Which way files come from the fleet; auto: HTTP first, MQTT while HTTP cannot be reached."""
    folder: str = ""
    """Folder or mount point that is watched for a copy of the fleet's repository; empty: none."""
    block_kib: int = 2048
    """A download that is cut off fetches at most this much again."""
    read_timeout_s: float = 20.0
    outbox: Keeping = "spill"
    """spill: in memory, and on the disk what waits for long; disk: every row at once; memory: never on the disk."""
    outbox_rows: int = 200_000
    """Rows kept while the fleet is away; about 1 KB each."""
    pictures: Pictures = "none"
    """Whether this device keeps pictures, and may send them when the fleet asks."""


class UplinkStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`state_dir/run/update.json`, replaced about once a second."""

    wall_ns: int
    model: str
    version: int
    """Version that decides now, as the supervisor last said; 0 when none."""
    state: str
    """`edge.messages.UpdateState` of the last update."""
    attempted: int
    """Version of the last update; 0 when none was ever tried."""
    reason: str
    fleet: str
    """Address of the broker; empty when this device is in no fleet."""
    connected: bool
    outbox_rows: int
    """Rows not yet acknowledged by the fleet."""
    outbox_dropped: int
    """Rows dropped because the outbox was full, since it was made."""
    drift: float | None
    """Population stability index of the last scores; None until there are enough, or without a baseline."""
    clock_ok: bool


def status_path(state_dir: str | Path) -> Path:
    """Where the uplink writes its `UplinkStatus`."""
    return Path(state_dir) / "run" / "update.json"
