"""`--state INPUT=OUTPUT`: which outputs of a network go back in as which inputs at the next step.

Behind this module a network has one order: the data's input, then the states; the answers, then the new states. So the
number of inputs alone tells how many states a compiled file has, and its last outputs are they.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote

from edge.errors import BadArgumentError, BadModelError

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StatePair:
    """What leaves as `output` comes in as `input`. An output that has no name is called by its number, from 0."""

    input: str
    output: str

    def __str__(self) -> str:
        """Write it as it is read."""
        return f"{self.input}={self.output}"


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output of a network, by its name."""

    name: str
    shape: Shape


@dataclass(frozen=True, slots=True)
class Order:
    """The one order, as places in the network's own: the data first, then the states; answers, then new states."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    states: int

    @property
    def kept(self) -> bool:
        """Whether the network has this order already."""
        return self.inputs == tuple(range(len(self.inputs))) and self.outputs == tuple(range(len(self.outputs)))


def write_states(pairs: Sequence[StatePair]) -> str:
    """Write pairs in one line; `read_states` reads it."""
    return " ".join(quote(str(pair), safe="/:;.()[]+-_@=") for pair in pairs)


def read_states(line: str) -> tuple[StatePair, ...]:
    """Read what `write_states` wrote."""
    return parse_states([unquote(word) for word in line.split()])


def parse_states(words: Sequence[str]) -> tuple[StatePair, ...]:
    """Read INPUT=OUTPUT pairs; raises BadArgumentError for anything else, or for an end that is named twice."""
    pairs = []
    for word in words:
        given, found, output = word.partition("=")
        if not (given and found and output):
            raise BadArgumentError(
                f"{word!r} is no state", remedy="write --state INPUT=OUTPUT, such as --state h=h_next"
            )
        pairs.append(StatePair(given, output))
    for ends in ([one.input for one in pairs], [one.output for one in pairs]):
        if len(set(ends)) < len(ends):
            raise BadArgumentError("one state is named twice", remedy="name each input and each output once")
    return tuple(pairs)


def settle_order(pairs: Sequence[StatePair], inputs: Sequence[Port], outputs: Sequence[Port], model: str) -> Order:
    """Match the pairs with the network.

    Raises: BadArgumentError for a name that it does not have; BadModelError if it is no network with one input for
    data, an answer, and states that keep their shape.
    """
    states = [(_find(one.input, inputs, "input"), _find(one.output, outputs, "output")) for one in pairs]
    data = [at for at in range(len(inputs)) if at not in {given for given, _ in states}]
    answers = [at for at in range(len(outputs)) if at not in {output for _, output in states}]
    if len(data) != 1:
        raise _several(model, inputs, outputs)
    if not answers:
        raise BadModelError(f"every output of {model} is a state", remedy="let the network return its answer, too")
    for given, output in states:
        if inputs[given].shape != outputs[output].shape:
            raise BadModelError(
                f"the state {inputs[given].name} of {model} comes in as {list(inputs[given].shape)} and leaves as "
                f"{list(outputs[output].shape)} in {outputs[output].name}",
                remedy="pair each state with the output of its own shape",
            )
    return Order((*data, *(one for one, _ in states)), (*answers, *(other for _, other in states)), len(states))


def _several(model: str, inputs: Sequence[Port], outputs: Sequence[Port]) -> BadModelError:
    """Say what to write where states are likely meant; else that one input is all there may be."""
    names = ", ".join(one.name for one in inputs) or "none"
    problem = f"{model} has {len(inputs)} inputs ({names}); one is for data, and each other one must be a state"
    free = [(one, other) for one in inputs[1:] for other in outputs if one.shape == other.shape]
    guess = " ".join(f"--state {one.name}={other.name}" for one, other in dict(free).items())
    if guess:
        return BadModelError(problem, remedy=f"name what goes back in at the next step, for instance {guess}")
    return BadModelError(problem, remedy="join the inputs into one tensor in a wrapper network")


def _find(name: str, ports: Sequence[Port], what: str) -> int:
    names = [one.name for one in ports]
    if name in names:
        return names.index(name)
    if name.isdecimal() and int(name) < len(ports):
        return int(name)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"its {what}s are {', '.join(names)}"
    raise BadArgumentError(f"--state: the network has no {what} {name!r}", remedy=hint)
