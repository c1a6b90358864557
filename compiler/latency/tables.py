"""Published times of known networks on known boards, as data: tables/*.toml and networks.toml. Figures only."""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

import msgspec

from compiler.latency.work import Work
from edge.manifest import Record

Engine = Literal["ncnn", "xnnpack"]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Text = Annotated[str, msgspec.Meta(min_length=8)]


class Run(Record, frozen=True, kw_only=True):
    """One column of a table."""

    threads: Annotated[int, msgspec.Meta(ge=1)]
    dtype: Literal["float32", "float16", "int8"]
    """What the engine computes in, whatever the table calls it."""
    ms: dict[str, Positive]
    """Network to milliseconds of one inference."""


class Table(Record, frozen=True, kw_only=True):
    """What one source says of one board."""

    engine: Engine
    board: Text
    target: str
    """The target that this board is, or that shares its core and clock; empty if there is none."""
    core: str
    role: Literal["fit", "kin", "check"] = "fit"
    """Kin: of no target, but fitted with the others, to tell how prices relate. To check: another board with the same
    core as one of ours, to test scaling by a calibration on; nothing is fitted to it."""
    statistic: Literal["least", "mean"]
    clock: Positive = 1.0
    """Of this board's cores over that of the board of the same name on ncnn's page, where they differ."""
    source: Text
    run: tuple[Run, ...]


class Ratio(Record, frozen=True, kw_only=True):
    """One runtime in float32 against ncnn, on the same board and network, with all cores."""

    target: str
    runtime: Literal["onnxruntime"]
    engine_dtype: Literal["float32", "float16"]
    """What ncnn computed in."""
    network: str
    ms: Positive
    ncnn_ms: Positive
    source: Text


class Ratios(Record, frozen=True, kw_only=True):
    """`ratios.toml`."""

    ratio: tuple[Ratio, ...]


class Network(Record, frozen=True, kw_only=True):
    """The work of one published network."""

    input: tuple[int, int, int]
    """Height, width, channels."""
    postprocessing: bool = False
    """Whether the measured graph ends in box decoding or suppression, whose time depends on the picture."""
    work: Work


class Networks(Record, frozen=True, kw_only=True):
    """`networks.toml`."""

    source: Text
    network: dict[str, Network]


@cache
def load_tables() -> tuple[Table, ...]:
    """All board tables, by file name."""
    folder = files("compiler.latency") / "tables"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return tuple(msgspec.convert(tomllib.loads((folder / name).read_text("utf-8")), Table) for name in names)


@cache
def load_ratios() -> Ratios:
    """Pairs of engines that one source timed side by side."""
    text = (files("compiler.latency") / "ratios.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), Ratios)


@cache
def load_networks() -> Networks:
    """Work of every network that a table names."""
    text = (files("compiler.latency") / "networks.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), Networks)
