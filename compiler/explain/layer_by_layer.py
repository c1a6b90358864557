"""What int8 does to each layer of a network, measured on its plain form: min/max ranges and no passes.

A pass may rescale channels, so a repaired file cannot be held against the float model layer by layer; the plain one
can, and it shows what the repairs have to work on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from compiler.effort import Effort
from compiler.explain.layers import LayerError, rank_layers
from compiler.measure import Measured
from compiler.observe.ranges import ranges_of
from compiler.plan import Plan
from compiler.quantize.calibration import Calibration
from compiler.quantize.workbench import Workbench
from edge.errors import BadModelError, MissingExtraError
from edge.manifest import RuntimeName

SAMPLES = 16
"""Calibration samples that every layer is judged by."""
MOST_WORK = 4e7
"""Layers times activations of one sample that a compile looks at by itself: some seconds. ResNet-20 on 32 pixels has
half of it, a MobileNetV2 on 224 pixels ten times as much; `edge explain` has no such limit."""


@dataclass(frozen=True, slots=True)
class Layers:
    """What a compile found out about its layers."""

    rows: tuple[LayerError, ...]
    note: str
    """What was looked at; or why nothing was."""


def plain(plans: Sequence[Plan], runtime: RuntimeName) -> Plan:
    """Return int8 on a runtime with nothing done for it; its activations are of the kind that `plans` have there."""
    kinds = [plan.activations for plan in plans if plan.runtime == runtime and plan.precision == "int8"]
    return Plan(runtime, "int8", kinds[0] if kinds else "int8")


def explain_layers(bench: Workbench, plan: Plan, *, samples: int = SAMPLES) -> tuple[LayerError, ...]:
    """Measure every layer that can be int8 in the plain form of a plan, the one that costs most at the output first.

    Raises: BadModelError; MissingExtraError.
    """
    bare = replace(plan, ranges="minmax", passes=(), keep_float=(), precision="int8")
    integer = bench.make(bare).content
    return rank_layers(
        bench.reference, ranges=ranges_of(bench.reference.seen, "minmax"), integer=integer, samples=samples
    )


def look_at_layers(
    measured: Sequence[Measured], runtime: RuntimeName, calibration: Calibration, *, effort: Effort
) -> Layers:
    """Explain the layers on one runtime if that takes seconds only; else say why not."""
    if effort == "quick":
        return Layers((), "left out at --effort quick; edge explain says it")
    if all(one.candidate.plan is None for one in measured):
        return Layers((), "the model was quantized by its maker: there is no float one to hold its layers against")
    found = {one.candidate.dtype: one.candidate for one in measured if one.candidate.runtime == runtime}
    if "int8" not in found or "float32" not in found:
        return Layers((), "needs a float and an int8 form of the model on one runtime")
    kinds = [one.candidate.plan for one in measured if one.candidate.plan is not None]
    bench = Workbench(found["float32"].data, Plan(runtime).file_format, calibration)
    try:
        layers = len(bench.reference.network.layers)
        if layers * bench.reference.size > MOST_WORK:
            return Layers((), f"{layers} layers would take minutes; edge explain does it")
        return Layers(explain_layers(bench, plain(kinds, runtime)), f"plain int8 on {runtime}")
    except (BadModelError, MissingExtraError) as exc:  # the bundle is good without it
        return Layers((), f"could not be measured: {exc.problem}")
