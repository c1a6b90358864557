"""What the supervisor tells each process when it starts it: JSON on the command line; descriptors are inherited."""

from typing import Any

import msgspec

from edge.manifest import InputContract


class Spec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all specs."""

    parent: int
    """Process id of the supervisor."""
    link_fd: int
    """Our end of the line to the supervisor (`edge_agent.link`)."""


class Chosen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A source, decider or actuator by name, with the user's options as they stand in the configuration."""

    kind: str
    options: dict[str, Any]
    folder: str
    """What paths in `options` are relative to."""


class CaptureSpec(Spec, frozen=True, kw_only=True):
    """For `edge_agent.capture`."""

    source: Chosen
    fps: float
    contract: InputContract
    """Of the model that decides: its size is asked of the source."""
    epoch: int
    active: int
    """Index of the loop that decides."""
    ring_fd: int
    token: str
    """Of the ring, in hexadecimal."""
    publications: tuple[int, ...]
    """Write ends, one a loop."""
    heard: int = 0
    """Last frame that an earlier capture process told of."""
    priority: int | None = None
    """Real-time, below that of the loop."""
    rehearse_ms: float = 0.0
    rehearse_now: bool = True
    """False while the machine is hot."""


class WireFds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Both ends of one wire of `edge_agent.readings`."""

    reader: int
    writer: int


class SensorSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One sensor of the sensors process."""

    name: str
    chosen: Chosen
    hang_s: float
    wires: tuple[WireFds, ...]
    """One a loop."""


class SensorsSpec(Spec, frozen=True, kw_only=True):
    """For `edge_agent.sensors_process`."""

    sensors: tuple[SensorSpec, ...]


class HeardSensor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sensor, as the loop hears it."""

    name: str
    wire_fd: int
    max_age_ms: float
    """An older reading does not exist for the decider."""


class TapSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One loop's line to a process that wants its turns: a ring of messages, and the pipe that announces them."""

    ring_fd: int
    token: str
    publications_fd: int
    """The loop's is the write end, the reader's the read end."""
    with_input: bool = True
    """It needs the input as the model took it, which costs a copy of every frame's."""
    unsure_only: bool = False
    """It wants only turns whose score lies below the decider's floor."""
    gap_s: float = 0.0
    """At least so long between two turns that it is handed."""


class RecorderSpec(Spec, frozen=True, kw_only=True):
    """For `edge_agent.recording.process`."""

    path: str
    seconds: float
    max_bytes: int
    device: str
    model: str
    taps: tuple[TapSpec, ...]


class KeeperSpec(Spec, frozen=True, kw_only=True):
    """For `edge_agent.watch.keeper`."""

    folder: str
    model: str
    max_bytes: int
    max_per_hour: int
    masks: tuple[tuple[float, float, float, float], ...]
    taps: tuple[TapSpec, ...]


class ViewSpec(Spec, frozen=True, kw_only=True):
    """For `edge_agent.view.process`."""

    host: str
    port: int
    device: str
    model: str
    taps: tuple[TapSpec, ...]


class LoopSpec(Spec, frozen=True, kw_only=True):
    """For `edge_agent.loop`."""

    index: int
    bundle: str
    model: str
    """Name that the bundle must have."""
    small: bool
    """Load the smallest variant of the bundle, not the first one that runs."""
    threads: int
    cpu: int | None
    priority: int | None
    rehearse_ms: float
    rehearse_now: bool
    """False while the machine is hot."""
    rehearse_inference: bool
    decider: Chosen
    actions: tuple[str, ...]
    max_age_ms: float
    """Largest of all actuators: an older frame is of use to none."""
    period_ms: float
    """Between two frames, or rows, of the source as it is configured."""
    ring_fd: int
    token: str
    publications_fd: int
    commands_fd: int
    records_fd: int
    """-1: nobody reads records."""
    sensors: tuple[HeardSensor, ...] = ()
    taps: tuple[TapSpec, ...] = ()
    """Who else wants to see what it does."""


class GuardActuator(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One actuator of the guard."""

    chosen: Chosen
    max_age_ms: float
    safe_state: str


class WatchdogSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who watches over the guard."""

    notify: str = ""
    """Address of systemd's socket; empty: no systemd."""
    period_s: float = 0.0
    """A silence this long makes systemd start the service anew; 0: it does not watch."""
    file: str = ""
    """A hardware watchdog, such as /dev/watchdog; empty: none."""


class GuardSpec(Spec, frozen=True, kw_only=True):
    """For `edge_agent.guard`."""

    actions: tuple[str, ...]
    actuators: tuple[GuardActuator, ...]
    epoch: int
    """The only epoch whose commands are accepted until another one is allowed."""
    commands_fd: int
    records_fd: int
    """-1: nobody reads records."""
    watchdog: WatchdogSpec = WatchdogSpec()
    priority: int | None = None
    """Real-time, above that of the loop."""
