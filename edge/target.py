"""What a device can run: the compiler reads it, the agent checks it, the fleet matches it.

The facts lie in targets/NAME.toml, one board a file, each with its source; a new board is a new file, not new code.
"""

import difflib
import tomllib
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

import msgspec

from edge.errors import UnknownTargetError
from edge.manifest import Name, Precision, Record, RuntimeName

Positive = Annotated[float, msgspec.Meta(gt=0)]
Source = Annotated[str, msgspec.Meta(min_length=8)]


class Speedup(Record, frozen=True, kw_only=True):
    """How many times faster an int8 model is than the float one, on this core and runtime."""

    runtime: RuntimeName
    factor: Positive | None = None
    """None: nobody has published a figure; below 1: int8 is slower."""
    source: Source


class Target(Record, frozen=True, kw_only=True):
    """One kind of device."""

    name: Name
    title: str
    arch: str
    """As `uname -m` says it."""
    cores: tuple[str, ...]
    """Core types, the one that runs the model first, such as "cortex-a72"."""
    core_count: Annotated[int, msgspec.Meta(ge=1)]
    runtimes: tuple[RuntimeName, ...]
    """In order of preference; empty when the CPU runs none of ours."""
    dtypes: tuple[Precision, ...]
    """Forms of a model that its kernels compute; `mixed` where both int8 and float32 are there."""
    ram_mib: Annotated[int, msgspec.Meta(ge=1)]
    """What a model and its buffers may use, not what is fitted."""
    npu: str | None = None
    """The name that the NPU's own compiler gives it."""
    npu_compiler: Literal["vela", "rknn-toolkit2"] | None = None
    """Which compiler makes the file that the NPU runs."""
    system_config: str | None = None
    """Vela's name for the clock and for what the memories deliver."""
    memory_mode: str | None = None
    """Vela's name for what lies in which memory."""
    providers: tuple[str, ...] = ()
    """onnxruntime's execution providers to try before the CPU, where the device has them."""
    supported: bool = True
    """Whether this release can compile for it."""
    measured: bool = False
    """Whether we have timed a model on this very board ourselves."""
    note: str = ""
    int8_speedup: tuple[Speedup, ...] = ()
    sources: dict[str, Source]
    """Fact to where it comes from; every fact has one."""

    def speedup(self, runtime: RuntimeName) -> Speedup | None:
        """The published int8 speed-up on one runtime, if the file names that runtime."""
        return next((each for each in self.int8_speedup if each.runtime == runtime), None)


@cache
def target_names() -> tuple[str, ...]:
    """Every target that `load_target` knows, sorted."""
    folder = files("edge") / "targets"
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")))


@cache
def load_target(name: str) -> Target:
    """Read one target; raises UnknownTargetError that names the nearest."""
    names = target_names()
    if name not in names:
        begun = [each for each in names if name and each.startswith(name)]
        nearest = begun or difflib.get_close_matches(name, names, n=1)
        question = f"did you mean {nearest[0]}? " if nearest else ""
        raise UnknownTargetError(f"no target {name!r}", remedy=f"{question}`edge targets` lists {', '.join(names)}")
    text = (files("edge") / "targets" / f"{name}.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), type=Target)
