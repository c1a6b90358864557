"""What a compiled file takes and gives, as a manifest says it."""

from collections.abc import Sequence
from dataclasses import dataclass

from edge.manifest import StateSpec, TensorSpec


@dataclass(frozen=True, slots=True)
class Ends:
    """The data's input, the answers, and the states between two steps."""

    input: TensorSpec
    outputs: tuple[TensorSpec, ...]
    state: tuple[StateSpec, ...] = ()


def ends_of(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> Ends:
    """Tell states by their place: every input after the first has its output among the last (`compiler.load.state`)."""
    first, *states = inputs
    answers = len(outputs) - len(states)
    pairs = zip(states, outputs[answers:], strict=True)
    return Ends(first, tuple(outputs[:answers]), tuple(StateSpec(input=one, output=other) for one, other in pairs))
