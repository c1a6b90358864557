"""The agent's configuration: one YAML file, read once, every key known, every number with its unit."""

import platform
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
import yaml

from edge.errors import BadConfigError, FileMissingError
from edge.messages import Id
from edge.target import load_target, target_names
from edge_agent import actuators, deciders, sensors, sources
from edge_agent.plugins import Nested, convert, load_class, nearest, read_options
from edge_agent.uplink.spec import Keeping, Transport

Positive = Annotated[float, msgspec.Meta(gt=0, lt=1e9)]
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
SectionT = TypeVar("SectionT", bound="Section")


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base: immutable, and an unknown key is an error."""


class SourceConfig(Section, frozen=True, kw_only=True):
    """`source`: where pictures come from. Keys of the chosen kind go to `options`."""

    kind: str
    fps: Positive = 30.0
    """Frames a second that are offered to the model."""
    hang_s: Positive = 10.0
    """A source that neither delivers nor fails for so long is killed and started again."""
    options: dict[str, Any] = {}


class DeciderConfig(Section, frozen=True, kw_only=True):
    """`decider`: from the model's output to an action. Keys of the chosen kind go to `options`."""

    kind: str = "classify"
    actions: Annotated[tuple[Word, ...], msgspec.Meta(min_length=1, max_length=100)] = ("stop", "go")
    """The first one is the safe one: it is chosen in doubt."""
    options: dict[str, Any] = {}


class SensorConfig(Section, frozen=True, kw_only=True):
    """One of `sensors`: what deciders look at beside the model's output. Keys of the chosen kind go to `options`."""

    name: Id
    """By which a decider names it."""
    kind: str
    max_age_ms: Positive
    """An older reading does not exist for a decider."""
    hang_s: Positive = 10.0
    """A sensor that neither delivers nor fails for so long is started again."""
    options: dict[str, Any] = {}


class ActuatorConfig(Section, frozen=True, kw_only=True):
    """One of `actuators`. Keys of the chosen kind go to `options`."""

    kind: str
    max_age_ms: Positive
    """A frame older than this moves nothing; without a fresher one the actuator goes to `safe_state`."""
    safe_state: Word
    """One of the decider's actions."""
    options: dict[str, Any] = {}


class GuardConfig(Section, frozen=True, kw_only=True):
    """`guard`: defaults for all actuators, and the watch over the guard itself."""

    max_age_ms: Positive = 200.0
    hang_s: Positive = 2.0
    """A guard that is silent for so long is killed and started again, in the safe state."""
    watchdog: Path | None = None
    """Hardware watchdog that the guard pets, such as /dev/watchdog."""
    give_up_s: Positive = 120.0
    """A loop or capture process that could not be brought back for so long ends the pets of every watchdog."""


class LoopConfig(Section, frozen=True, kw_only=True):
    """`loop`: how inference runs."""

    threads: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    cpu: Annotated[int, msgspec.Meta(ge=0, lt=1024)] | None = None
    """Processor that the loop which decides has to itself; the rest of the agent stays off it. None by default."""
    priority: Annotated[int, msgspec.Meta(ge=2, le=98)] | None = None
    """Real-time priority (SCHED_FIFO) of the loop that decides; the guard has one more, capture one less. Off by
    default."""
    rehearse_ms: Annotated[float, msgspec.Meta(ge=0, le=100)] = 0.0
    """So long before a frame is due capture and loop wake and go through their work on old data; 0: never."""
    rehearse_inference: bool = False
    """The loop's turn on old data is one with inference, where that is over before the frame comes."""
    hang_s: Positive = 3.0
    """Longer than any single inference; a loop that is silent for so long is killed and started again."""
    start_s: Positive = 60.0
    """A model that is not loaded, checked and warm after this has failed."""


class FleetConfig(Section, frozen=True, kw_only=True):
    """`fleet`: where to report to, and when an update counts as good. Without it the agent talks to nobody."""

    enrol: Path
    """The file that `edge fleet enrol` wrote for this device."""
    target: str = ""
    """What this device is; `edge targets` lists them. A bundle for another target is refused. A PC need not say."""
    outbox: Keeping = "spill"
    """Where telemetry waits for the fleet. `spill`: in memory, and on flash what was not taken in ten minutes; `disk`:
    every row at once; `memory`: nothing is written to flash, and the agent's end loses it."""
    transport: Transport = "auto"
    """How files come from the fleet: http, mqtt, or auto: HTTP first, MQTT while HTTP cannot be reached."""
    folder: Path | None = None
    """Mount point that is watched for a stick with a newer version; none by default."""
    window_s: Positive = 1.0
    probation_s: Positive = 60.0
    quiet_s: Positive = 10.0
    p95_limit_ms: Annotated[float, msgspec.Meta(ge=0, lt=1e9)] = 0.0
    """An update whose inference is slower fails its self-test; 0: no limit."""
    drift_limit: Positive = 0.2


class HealthConfig(Section, frozen=True, kw_only=True):
    """`health`: what to do without when the machine is hot, and where it says so."""

    warm_c: Positive = 75.0
    """From here on fewer frames are offered to the model."""
    hot_c: Positive = 80.0
    """From here on, or when the machine throttles itself, the smaller variant of the bundle decides besides."""
    cool_c: Positive = 70.0
    """Down to here for `hold_s`: one step back."""
    hold_s: Positive = 30.0
    """At least so long between two steps."""
    fps_share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.5
    """Of the frames, while it is warm."""
    look_s: Positive = 5.0
    thermal: Path = msgspec.field(default_factory=lambda: Path("/sys/class/thermal"))
    throttled: Path = msgspec.field(
        default_factory=lambda: Path("/sys/devices/platform/soc/soc:firmware/get_throttled")
    )
    proc: Path = msgspec.field(default_factory=lambda: Path("/proc"))

    def __post_init__(self) -> None:
        """Msgspec tells a ValueError with its place."""
        if not self.cool_c < self.warm_c <= self.hot_c:
            raise ValueError("cool_c < warm_c <= hot_c is wanted")


Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class CaptureStoreConfig(Section, frozen=True, kw_only=True):
    """`capture_store`: keep pictures of which the model was not sure. Without it nothing is kept."""

    max_mib: Annotated[int, msgspec.Meta(ge=1, le=1 << 20)] = 64
    """The oldest ones go."""
    max_per_hour: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 20
    masks: tuple[tuple[Share, Share, Share, Share], ...] = ()
    """Left, top, width, height, each a share of the picture: blacked out before anything is written."""


class ViewConfig(Section, frozen=True, kw_only=True):
    """`view`: a page that shows what the agent sees and decides, read-only. Without it there is none."""

    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 8088
    host: Word = "127.0.0.1"
    """Loopback by default: who can reach it sees the camera."""


class AgentConfig(Section, frozen=True, kw_only=True):
    """A whole configuration; every path is absolute."""

    device: Id
    model: Id
    """Name of the model: only bundles of this name run."""
    state_dir: Path
    """Survives a reboot: slots, journal, outbox. `run/` in it is on tmpfs."""
    source: SourceConfig
    decider: DeciderConfig
    actuators: tuple[ActuatorConfig, ...]
    sensors: tuple[SensorConfig, ...] = ()
    guard: GuardConfig = GuardConfig()
    loop: LoopConfig = LoopConfig()
    fleet: FleetConfig | None = None
    health: HealthConfig = HealthConfig()
    capture_store: CaptureStoreConfig | None = None
    view: ViewConfig | None = None
    folder: Path
    """Of the configuration file; options of `source`, `decider` and `actuators` are relative to it."""


def load_config(path: Path, *, strangers: bool = False) -> AgentConfig:
    """Read and check a configuration.

    Args:
        path: YAML file.
        strangers: also import the user's own classes ("file.py:Class") and check their options; else they are checked
            by the process that uses them.

    Raises: `FileMissingError`, `BadConfigError` with the place and, for an unknown key, the nearest known one.
    """
    raw = _read(path)
    folder = path.resolve().parent
    top = [name for name in AgentConfig.__struct_fields__ if name != "folder"]
    for key in raw:
        if key not in top:
            raise BadConfigError(f"{path.name}: unknown key {key!r}", remedy=nearest(str(key), top))
    for key in ("device", "model", "state_dir", "source", "actuators"):
        if key not in raw:
            raise BadConfigError(f"{path.name}: {key!r} is missing", remedy="see docs/agent.md for an example")
    guard = _section(raw, "guard", GuardConfig, folder)
    decider = _plugin(raw.get("decider", {}), DeciderConfig, folder, "decider", strangers)
    plain = convert({key: raw[key] for key in _Plain.__struct_fields__}, _Plain, folder=folder, where=path.name)
    config = AgentConfig(
        device=plain.device,
        model=plain.model,
        state_dir=plain.state_dir,
        source=_plugin(raw["source"], SourceConfig, folder, "source", strangers),
        decider=decider,
        actuators=_actuators(raw["actuators"], guard, decider, folder, strangers),
        sensors=_sensors(raw.get("sensors") or [], folder, strangers),
        guard=guard,
        loop=_section(raw, "loop", LoopConfig, folder),
        fleet=_fleet(raw, folder),
        health=_section(raw, "health", HealthConfig, folder),
        capture_store=_if_there(raw, "capture_store", CaptureStoreConfig, folder),
        view=_if_there(raw, "view", ViewConfig, folder),
        folder=folder,
    )
    _check_safe_states(config)
    _check_sensors(config)
    return config


class _Plain(Section, frozen=True, kw_only=True):
    device: Id
    model: Id
    state_dir: Path


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError) as exc:
        raise FileMissingError(f"no configuration {path}", remedy="name a YAML file; see docs/agent.md") from exc
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        text = " ".join(str(exc).split())
        raise BadConfigError(f"{path.name} is not YAML: {text}", remedy="correct the file at that place") from exc
    if not isinstance(raw, dict):
        raise BadConfigError(f"{path.name} holds no keys", remedy="see docs/agent.md for an example")
    return raw


def _section(raw: Mapping[str, Any], key: str, kind: type[SectionT], folder: Path) -> SectionT:
    return convert(raw.get(key) or {}, kind, folder=folder, where=key)


def _if_there(raw: Mapping[str, Any], key: str, kind: type[SectionT], folder: Path) -> SectionT | None:
    """A section that switches something on: `key: {}` is enough."""
    return None if raw.get(key) is None else _section(raw, key, kind, folder)


def _fleet(raw: Mapping[str, Any], folder: Path) -> FleetConfig | None:
    if raw.get("fleet") is None:
        return None
    fleet = _section(raw, "fleet", FleetConfig, folder)
    if fleet.target:
        load_target(fleet.target)
        return fleet
    if platform.machine() != "x86_64":
        raise BadConfigError("fleet: 'target' is missing", remedy=f"use one of: {', '.join(target_names())}")
    return msgspec.structs.replace(fleet, target="x86-64")


def _actuators(
    raw: object, guard: GuardConfig, decider: DeciderConfig, folder: Path, strangers: bool
) -> tuple[ActuatorConfig, ...]:
    if not isinstance(raw, list) or not raw:
        raise BadConfigError("actuators: a list is wanted", remedy="begin each actuator with '- kind: ...'")
    defaults = {"max_age_ms": guard.max_age_ms, "safe_state": decider.actions[0]}
    return tuple(
        _plugin(
            defaults | one if isinstance(one, dict) else one, ActuatorConfig, folder, f"actuators[{index}]", strangers
        )
        for index, one in enumerate(raw)
    )


def _sensors(raw: object, folder: Path, strangers: bool) -> tuple[SensorConfig, ...]:
    if not isinstance(raw, list):
        raise BadConfigError("sensors: a list is wanted", remedy="begin each sensor with '- name: ...'")
    return tuple(_plugin(one, SensorConfig, folder, f"sensors[{index}]", strangers) for index, one in enumerate(raw))


TABLES: dict[type[Section], tuple[dict[str, str], str]] = {
    SourceConfig: (sources.KINDS, sources.GROUP),
    DeciderConfig: (deciders.KINDS, deciders.GROUP),
    ActuatorConfig: (actuators.KINDS, actuators.GROUP),
    SensorConfig: (sensors.KINDS, sensors.GROUP),
}
"""Sections whose `kind` says which other keys they have: short names, and the group of the entry points."""


def _plugin(raw: object, kind: type[SectionT], folder: Path, where: str, strangers: bool) -> SectionT:
    """Split a mapping into the keys that every kind has and the options of the chosen one, and check both."""
    if not isinstance(raw, dict):
        raise BadConfigError(f"{where}: keys are wanted", remedy=f"write {where}: {{kind: ...}}")
    common = [name for name in kind.__struct_fields__ if name != "options"]
    options = {key: value for key, value in raw.items() if key not in common}
    section = convert({key: raw[key] for key in raw if key in common}, kind, folder=folder, where=where, also=options)
    name: str = section.kind  # type: ignore[attr-defined]
    _check_options(name, options, _Place(where, folder, *TABLES[kind], strangers), common)
    return msgspec.structs.replace(section, options=options)


class _Place(NamedTuple):
    """Where options stand, and what may stand there."""

    where: str
    folder: Path
    table: Mapping[str, str]
    group: str
    strangers: bool


def _check_options(kind: str, options: Mapping[str, Any], place: _Place, also: Collection[str]) -> None:
    """Check the options of the class `kind`, and of the classes within them."""
    if ".py:" in kind and not place.strangers:
        return
    cls, where = load_class(kind, place.table, place.group, place.folder), place.where
    unknown = [key for key in options if key not in cls.Options.__struct_fields__]
    if unknown:
        known = [*cls.Options.__struct_fields__, *also]
        raise BadConfigError(f"{where}: unknown key {unknown[0]!r}", remedy=nearest(str(unknown[0]), known))
    made = read_options(cls, options, folder=place.folder, where=where)
    for name, parts in msgspec.structs.asdict(made).items():
        for index, part in enumerate(parts if isinstance(parts, tuple) else ()):
            if isinstance(part, Nested):
                table, group = (sensors.KINDS, sensors.GROUP) if name == "sensors" else (place.table, place.group)
                inner = _Place(f"{where}.{name}[{index}]", place.folder, table, group, place.strangers)
                _check_options(part.kind, part.options, inner, ("kind",))


def _check_safe_states(config: AgentConfig) -> None:
    for index, actuator in enumerate(config.actuators):
        if actuator.safe_state not in config.decider.actions:
            raise BadConfigError(
                f"actuators[{index}]: safe_state {actuator.safe_state!r} is no action of the decider",
                remedy=nearest(actuator.safe_state, config.decider.actions),
            )


def _check_sensors(config: AgentConfig) -> None:
    """Names must differ, and a decider may only name a sensor that is there."""
    names = [one.name for one in config.sensors]
    for name in names:
        if names.count(name) > 1:
            raise BadConfigError(f"sensors: {name!r} is there twice", remedy="give each sensor a name of its own")
    for name in _named_sensors(config.decider.kind, config.decider.options):
        if name not in names:
            raise BadConfigError(f"decider: no sensor {name!r}", remedy=nearest(name, names))


def _named_sensors(kind: str, options: Mapping[str, Any]) -> list[str]:
    """What a shipped decider, or one within it, names as `sensor`; the options are checked already."""
    if kind not in deciders.KINDS:
        return []
    own = [options["sensor"]] if "sensor" in options else []
    return own + [name for part in options.get("of", ()) for name in _named_sensors(part["kind"], part)]
