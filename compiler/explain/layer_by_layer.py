"""What int8 does to each layer of a network, measured on its plain form: min/max ranges and no passes.

A pass may rescale channels, so a repaired file cannot be held against the float model layer by layer; the plain one
can, and it shows what the repairs have to work on.
"""

from collections.abc import Sequence
from dataclasses import replace

from compiler.candidate import Builder
from compiler.explain.layers import LayerError, rank_layers
from compiler.observe.ranges import ranges_of
from compiler.plan import Plan
from edge.manifest import RuntimeName

SAMPLES = 16
"""Calibration samples that every layer is judged by."""


def plain(plans: Sequence[Plan], runtime: RuntimeName) -> Plan:
    """Return int8 on a runtime with nothing done for it; its activations are of the kind that `plans` have there."""
    kinds = [plan.activations for plan in plans if plan.runtime == runtime and plan.precision == "int8"]
    return Plan(runtime, "int8", kinds[0] if kinds else "int8")


def explain_layers(builder: Builder, plan: Plan, *, samples: int = SAMPLES) -> tuple[LayerError, ...]:
    """Measure every layer that can be int8 in a plain plan, the one that costs most at the output first.

    Raises: BadModelError; MissingExtraError.
    """
    bare = replace(plan, ranges="minmax", passes=(), keep_float=(), precision="int8")
    integer = builder.build(bare).data
    bench = builder.bench(plan.runtime)
    return rank_layers(bench, ranges=ranges_of(bench.seen, "minmax"), integer=integer, samples=samples)
