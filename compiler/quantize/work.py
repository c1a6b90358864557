"""A float file on its way through the passes of a plan, and how it becomes the compiled file at any point."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from compiler.observe import Observations
from compiler.observe.ranges import Range, ranges_of
from compiler.plan import Plan
from compiler.quantize.float_state import state_names
from compiler.quantize.reference import Reference


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """A float file, and what was seen of its activations."""

    content: bytes = field(repr=False)
    seen: Observations = field(repr=False)
    keep_float: tuple[str, ...] = ()
    judged: tuple[str, ...] = ()
    """What the outputs are judged by is called in this file, if not as in the first."""
    said: str = ""
    """Of the last pass, for people."""

    def also_float(self, names: tuple[str, ...]) -> "Work":
        """Move layers to float."""
        return replace(self, keep_float=tuple(dict.fromkeys((*self.keep_float, *names))), said="")


def quantize(reference: Reference, work: Work, plan: Plan) -> bytes:
    """Make the file; raises BadModelError."""
    if plan.precision in {"float16", "int8-weights"}:
        return reference.verbs.shrink(work.content, plan)
    return reference.verbs.quantize(work.content, ranges_for(reference, work, plan), planned(plan, work.keep_float))


def ranges_for(reference: Reference, work: Work, plan: Plan) -> Mapping[str, Range]:
    """Ranges of all activations; a state comes in with the scale with which it left, so going round changes nothing."""
    ranges = dict(ranges_of(work.seen, plan.ranges, plan.percent))
    for entrance, leaving in state_names(reference.network):
        (low, high), (other_low, other_high) = ranges[entrance], ranges[leaving]
        ranges[entrance] = ranges[leaving] = (min(low, other_low), max(high, other_high))
    return ranges


def planned(plan: Plan, keep_float: tuple[str, ...]) -> Plan:
    """Return the plan with the layers that a pass moved to float."""
    precision = "mixed" if keep_float and plan.precision == "int8" else plan.precision
    return replace(plan, precision=precision, keep_float=keep_float)
