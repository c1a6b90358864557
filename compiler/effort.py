"""Which plans are worth building for a target, by how much effort a compile may take."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Literal, get_args

from compiler.load.source import Kind
from compiler.plan import BY_NPU, Activations, Format, Pass, Plan, Ranges
from edge.manifest import RuntimeName
from edge.target import Target

Effort = Literal["quick", "normal", "thorough"]

REACHES: dict[Kind, tuple[Format, ...]] = {
    "torch": ("onnx", "tflite"),
    "onnx": ("onnx", "tflite"),
    "tflite": ("tflite",),
    "tflite-and-onnx": ("tflite", "onnx"),
}
"""File formats that a float source can become; one that is quantized already stays what it is."""
_NORMAL: tuple[Ranges, ...] = ("percentile", "mse", "minmax")
_OTHERS: tuple[Ranges, ...] = ("moving-average",)
_ALL: tuple[Pass, ...] = ("equalize", "split-outputs", "correct-bias")
LEARNED: tuple[Pass, ...] = ("equalize", "split-outputs", "learn-rounding")
"""Learned codes come with biases of their own."""
TRAINED: tuple[Pass, ...] = ("train", "split-outputs", "correct-bias")
"""Training starts from equalized weights."""


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


def _with_state(plan: Plan) -> Plan:
    """Try, before every other pass, whether the path of the state is better kept in float."""
    return replace(plan, passes=("float-state", *plan.passes)) if plan.precision == "int8" else plan


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
