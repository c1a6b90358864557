"""How one candidate is made: what to quantize, with which ranges, after which passes. Pure data; prints and parses.

`str(plan)` is the recipe that a manifest keeps, such as
`onnxruntime int8 activations=uint8 ranges=mse passes=equalize,correct-bias float=Conv_3`.
"""

from dataclasses import dataclass
from typing import Literal, cast, get_args
from urllib.parse import quote, unquote

from edge.errors import BadArgumentError
from edge.manifest import Precision, RuntimeName

Activations = Literal["int8", "uint8"]
Ranges = Literal["minmax", "percentile", "moving-average", "mse"]
Pass = Literal["equalize", "correct-bias", "split-outputs", "float-state", "learn-rounding", "train"]
Format = Literal["onnx", "tflite"]

STATIC: frozenset[Precision] = frozenset({"int8", "int16x8", "mixed"})
"""Precisions whose activations are integers, so that ranges and passes matter."""
BY_NPU: frozenset[RuntimeName] = frozenset({"ethos-u", "rknn"})
"""Runtimes whose files an NPU's own compiler makes, of a file for another runtime."""
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
