"""How one candidate is made: what to quantize, with which ranges, after which passes. Pure data; prints and parses.

`str(plan)` is the recipe that a manifest keeps, such as
`onnxruntime int8 activations=uint8 ranges=mse passes=equalize,correct-bias float=Conv_3`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal, cast, get_args
from urllib.parse import quote, unquote

from compiler.load.source import Kind
from edge.errors import BadArgumentError
from edge.manifest import Precision, RuntimeName
from edge.target import Target

Activations = Literal["int8", "uint8"]
Ranges = Literal["minmax", "percentile", "moving-average", "mse"]
Pass = Literal["equalize", "correct-bias", "split-outputs", "float-state", "learn-rounding", "train"]
Effort = Literal["quick", "normal", "thorough"]
Format = Literal["onnx", "tflite"]

REACHES: dict[Kind, tuple[Format, ...]] = {
    "torch": ("onnx", "tflite"),
    "onnx": ("onnx", "tflite"),
    "tflite": ("tflite",),
    "tflite-and-onnx": ("tflite", "onnx"),
}
"""File formats that a float source can become; one that is quantized already stays what it is."""
STATIC: frozenset[Precision] = frozenset({"int8", "int16x8", "mixed"})
"""Precisions whose activations are integers, so that ranges and passes matter."""
BY_NPU: frozenset[RuntimeName] = frozenset({"ethos-u", "rknn"})
"""Runtimes whose files an NPU's own compiler makes, of a file for another runtime."""
_NORMAL: tuple[Ranges, ...] = ("percentile", "mse", "minmax")
_OTHERS: tuple[Ranges, ...] = ("moving-average",)
_ALL: tuple[Pass, ...] = ("equalize", "split-outputs", "correct-bias")
LEARNED: tuple[Pass, ...] = ("equalize", "split-outputs", "learn-rounding")
"""Learned codes come with biases of their own."""
TRAINED: tuple[Pass, ...] = ("train", "split-outputs", "correct-bias")
"""Training starts from equalized weights."""
_SAFE = "/:;.()[]+-_@"
PERCENTILE = 99.99
"""Share of the nonzero values, in percent, that stays inside at each end. Chosen: ONNX Runtime's default, 99.999, clips
next to nothing of a small network's few values."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One way to make one file."""

    runtime: RuntimeName
    precision: Precision = "float32"
    activations: Activations = "int8"
    """Of ONNX files: U8S8 or S8S8. TFLite knows int8 only."""
    ranges: Ranges = "minmax"
    passes: tuple[Pass, ...] = ()
    """Tried in this order on the float model; each is kept only if it lowers the error."""
    keep_float: tuple[str, ...] = ()
    """Layers that stay float, by the names that `compiler.explain` prints."""
    percent: float = PERCENTILE
    """Of `percentile` ranges: what stays inside at each end."""

    def __post_init__(self) -> None:
        """Raise BadArgumentError if the parts do not go together."""
        allowed = {"equalize", "learn-rounding"} if self.precision == "int8-weights" else set()
        if self.precision not in STATIC and (self.ranges != "minmax" or set(self.passes) - allowed or self.keep_float):
            raise _refused(f"{self.precision} has no activation ranges, and no passes or float layers that need them")
        misplaced = "train" in self.passes[1:] or "equalize" in self.passes or self.precision != "int8"
        if "train" in self.passes and misplaced:
            raise _refused("train makes int8 plans only, comes first, and equalizes by itself")
        if self.percent != PERCENTILE and (self.ranges != "percentile" or not 50 < self.percent < 100):
            raise _refused("only percentile ranges have a percent, between 50 and 100")
        if self.file_format == "tflite" and self.activations != "int8":
            raise _refused("TFLite activations are int8")
        if (self.precision == "mixed") != bool(self.keep_float):
            raise _refused("a mixed plan names layers that stay float, and only a mixed plan does")

    @property
    def file_format(self) -> Format:
        """Of the file that it makes; for `rknn` of the one that Rockchip's toolkit starts from."""
        return "onnx" if self.runtime in {"onnxruntime", "rknn"} else "tflite"

    def __str__(self) -> str:
        """Write the plan in one line; what is at its default is left out."""
        words: list[str] = [self.runtime, self.precision]
        if self.activations != "int8":
            words.append(f"activations={self.activations}")
        if self.ranges != "minmax":
            words.append(f"ranges={self.ranges}")
        if self.percent != PERCENTILE:
            words.append(f"percent={self.percent!r}")
        if self.passes:
            words.append(f"passes={','.join(self.passes)}")
        if self.keep_float:
            words.append(f"float={','.join(quote(name, safe=_SAFE) for name in self.keep_float)}")
        return " ".join(words)


def parse_plan(text: str) -> Plan:
    """Read what `str(plan)` wrote.

    Raises: BadArgumentError.
    """
    runtime, precision, *rest = (*text.split(), "", "")[: max(2, len(text.split()))]
    options = dict(word.partition("=")[::2] for word in rest)
    unknown = options.keys() - {"activations", "ranges", "percent", "passes", "float"}
    if unknown:
        raise _refused(f"unknown part {sorted(unknown)[0]!r} in {text!r}")
    passes = tuple(_one_of(Pass, word) for word in options.get("passes", "").split(",") if word)
    return Plan(
        cast(RuntimeName, _one_of(RuntimeName, runtime)),
        cast(Precision, _one_of(Precision, precision)),
        cast(Activations, _one_of(Activations, options.get("activations", "int8"))),
        cast(Ranges, _one_of(Ranges, options.get("ranges", "minmax"))),
        cast(tuple[Pass, ...], passes),
        tuple(unquote(name) for name in options.get("float", "").split(",") if name),
        _number(options.get("percent", str(PERCENTILE))),
    )


def plans(kind: Kind, target: Target, effort: Effort, *, stateful: bool = False) -> tuple[Plan, ...]:
    """List what is worth building for `target`, cheapest first, one runtime after the other within each step.

    A runtime is the first of the target's that opens a format. Precisions that the target does not list are left out.
    Mixed plans are not among them: which layers stay float is measured (`compiler.explain.rank_layers`).
    """
    runtimes = runtimes_for(kind, target)
    steps = [_quick, _normal, _thorough][: get_args(Effort).index(effort) + 1]
    wanted = chain.from_iterable(step(runtime, target) for step in steps for runtime in runtimes)
    trainable = kind != "tflite" and not stateful
    possible = (plan for plan in wanted if trainable or "train" not in plan.passes)
    known = dict.fromkeys(plan for plan in possible if plan.precision in target.dtypes)
    in_float = stateful and target.npu_compiler is None  # what is float leaves the NPU at every step
    return tuple(_with_state(plan) if in_float else plan for plan in known)


def _with_state(plan: Plan) -> Plan:
    """Try, before every other pass, whether the path of the state is better kept in float."""
    return replace(plan, passes=("float-state", *plan.passes)) if plan.precision == "int8" else plan


def learning_plans(base: Plan, kind: Kind, *, stateful: bool = False) -> tuple[Plan, ...]:
    """List what is worth its time only where `base`, the best int8 plan of its runtime, costs too much."""
    passes = (LEARNED, TRAINED) if kind != "tflite" and not stateful else (LEARNED,)
    learned = tuple(replace(base, passes=one) for one in passes)
    return tuple(_with_state(plan) for plan in learned) if "float-state" in base.passes else learned


def runtimes_for(kind: Kind, target: Target, *, quantized: bool = False) -> tuple[RuntimeName, ...]:
    """One runtime for each file format that the source can become, in the target's order of preference."""
    chosen: dict[str, RuntimeName] = {}
    formats = (kind,) if quantized else REACHES[kind]
    for runtime in target.runtimes:
        if runtime in BY_NPU:
            continue
        file_format = "onnx" if runtime == "onnxruntime" else "tflite"
        if file_format in formats:
            chosen.setdefault(file_format, runtime)
    return tuple(chosen.values())


def _quick(runtime: RuntimeName, target: Target) -> Iterator[Plan]:
    yield Plan(runtime)
    yield Plan(runtime, "int8", _activations(runtime, target), passes=("equalize", "split-outputs"))


def _normal(runtime: RuntimeName, target: Target) -> Iterator[Plan]:
    """Each of these ranges, with corrected biases, came out best on some network (docs/benchmarks/compiler.md).

    And one without equalizing: on the judged calibration samples what it does is uncertain by a decibel.
    """
    for ranges in _NORMAL:
        yield Plan(runtime, "int8", _activations(runtime, target), ranges, _ALL)
    yield Plan(runtime, "int8", _activations(runtime, target), "mse", ("split-outputs", "correct-bias"))
    yield Plan(runtime, "float16")


def _thorough(runtime: RuntimeName, target: Target) -> Iterator[Plan]:
    kind = _activations(runtime, target)
    for ranges in _OTHERS:
        yield Plan(runtime, "int8", kind, ranges, _ALL)
    if runtime == "onnxruntime":
        yield Plan(runtime, "int8", "int8" if kind == "uint8" else "uint8", passes=("equalize", "split-outputs"))
    yield Plan(runtime, "int8", kind, "mse", LEARNED)
    yield Plan(runtime, "int8", kind, "mse", TRAINED)
    yield Plan(runtime, "int16x8", passes=("equalize", "learn-rounding"))
    yield Plan(runtime, "int8-weights", passes=("equalize", "learn-rounding"))


def _activations(runtime: RuntimeName, target: Target) -> Activations:
    """Prefer uint8 on x86, where U8S8 is 1.0 to 3.5 times as fast as S8S8 (measured, AVX512-VNNI); int8 elsewhere."""
    return "uint8" if runtime == "onnxruntime" and target.arch.startswith("x86") else "int8"


def _one_of(kind: object, word: str) -> str:
    """Return `word` if it is one of the literals of `kind`, else raise BadArgumentError."""
    known = [str(each) for each in get_args(kind)]
    if word not in known:
        raise _refused(f"{word!r} is none of {', '.join(known)}")
    return word


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError as exc:
        raise _refused(f"{word!r} is no number") from exc


def _refused(problem: str) -> BadArgumentError:
    return BadArgumentError(f"not a plan: {problem}", remedy="write it as `edge compile` prints it in the recipe")
