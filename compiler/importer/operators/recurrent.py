"""RNN, GRU and LSTM: unrolled over the time steps, whose number is fixed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from compiler.importer.node import Node
from compiler.importer.refusal import RefusedError
from compiler.importer.table import operator

Activation = Callable[[Tensor], Tensor]
ACTIVATIONS: Mapping[str, Activation] = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}


@dataclass(frozen=True, slots=True, eq=False)
class Direction:
    """One pass over the sequence. `gates` is 1 (RNN), 3 (GRU) or 4 (LSTM); H is the size of the state."""

    weight: Tensor
    """[gates * H, input]"""
    recurrent: Tensor
    """[gates * H, H]"""
    input_bias: Tensor
    """[gates * H]"""
    recurrent_bias: Tensor
    """[gates * H]"""
    peepholes: Tensor | None
    """[3 * H]: input, output, forget; some LSTMs only."""
    activations: tuple[Activation, ...]
    backwards: bool

    def project(self, x: Tensor) -> tuple[Tensor, ...]:
        """Multiply all time steps at once; x [T, N, input] -> T times [N, gates * H]."""
        steps = torch.matmul(x, self.weight.t()) + self.input_bias
        return steps.unbind(0)

    def order(self, steps: int) -> Sequence[int]:
        """Return the time steps in the order of this pass."""
        return range(steps - 1, -1, -1) if self.backwards else range(steps)


States = tuple[Tensor, ...]
"""[N, H] each: h, and c for an LSTM."""
Cell = Callable[[Tensor, States, Direction], States]
"""(projected input [N, gates * H], states, direction) -> new states."""


@operator("RNN", constant=(4,))
def rnn(node: Node) -> tuple[Tensor, ...]:
    """Compute h' = f(W x + R h + b)."""

    def cell(x: Tensor, states: States, way: Direction) -> States:
        return (way.activations[0](x + _recur(states[0], way)),)

    return _run(node, cell, ("Tanh",), states=1)


@operator("GRU", constant=(4,))
def gru(node: Node) -> tuple[Tensor, ...]:
    """Gates z, r, h; `linear_before_reset` says whether r acts before or after the recurrent product."""
    after = node.flag("linear_before_reset")

    def cell(x: Tensor, states: States, way: Direction) -> States:
        (h,), (f, g) = states, way.activations
        size = h.shape[-1]
        x_z, x_r, x_h = torch.split(x, size, dim=-1)
        gates = torch.matmul(h, way.recurrent[: 2 * size].t()) + way.recurrent_bias[: 2 * size]
        z, r = f(x_z + gates[:, :size]), f(x_r + gates[:, size:])
        matrix, bias = way.recurrent[2 * size :].t(), way.recurrent_bias[2 * size :]
        memory = r * (torch.matmul(h, matrix) + bias) if after else torch.matmul(r * h, matrix) + bias
        return ((1 - z) * g(x_h + memory) + z * h,)

    return _run(node, cell, ("Sigmoid", "Tanh"), states=1)


@operator("LSTM", constant=(4,))
def lstm(node: Node) -> tuple[Tensor, ...]:
    """Gates i, o, f, c, with peepholes from the cell if they are given."""
    if node.flag("input_forget"):
        raise RefusedError("it couples input and forget gates", remedy="export an ordinary LSTM")

    def cell(x: Tensor, states: States, way: Direction) -> States:
        (h, c), (f, g, last) = states, way.activations
        size = h.shape[-1]
        at_input, at_output, at_forget, candidate = torch.split(x + _recur(h, way), size, dim=-1)
        peep = None if way.peepholes is None else torch.split(way.peepholes, size)
        at_input, at_forget = (
            (at_input, at_forget) if peep is None else (at_input + peep[0] * c, at_forget + peep[2] * c)
        )
        c = f(at_forget) * c + f(at_input) * g(candidate)
        return f(at_output if peep is None else at_output + peep[1] * c) * last(c), c

    return _run(node, cell, ("Sigmoid", "Tanh", "Tanh"), states=2)


def _recur(h: Tensor, way: Direction) -> Tensor:
    return torch.matmul(h, way.recurrent.t()) + way.recurrent_bias


def _run(node: Node, cell: Cell, defaults: tuple[str, ...], *, states: int) -> tuple[Tensor, ...]:
    """Walk each direction and stack the results.

    Returns: Y [T, D, N, H], and the last states [D, N, H]; batch first with `layout`.
    """
    _check(node)
    batch_first = node.flag("layout")
    x = node.tensor(0).transpose(0, 1) if batch_first else node.tensor(0)
    ways = _directions(node, defaults)
    starts = [_initial(node, 5 + place, x.shape[1], batch_first=batch_first) for place in range(states)]
    sequences: list[Tensor] = []
    finals: list[States] = []
    for place, way in enumerate(ways):
        sequence, final = _walk(x, cell, way, tuple(start[place] for start in starts))
        sequences.append(sequence)
        finals.append(final)
    y = torch.stack(sequences, dim=1)
    last = [torch.stack([final[place] for final in finals]) for place in range(states)]
    if batch_first:
        return y.permute(2, 0, 1, 3), *(state.transpose(0, 1) for state in last)
    return y, *last


def _walk(x: Tensor, cell: Cell, way: Direction, states: States) -> tuple[Tensor, States]:
    """Return h of every time step, [T, N, H], and the last states."""
    projected = way.project(x)
    history = [x] * len(projected)
    for step in way.order(len(projected)):
        states = cell(projected[step], states, way)
        history[step] = states[0]
    return torch.stack(history), states


def _check(node: Node) -> None:
    if "clip" in node.attributes:
        raise RefusedError("it clips its gates", remedy="export the layer without clipping")
    if node.has(4):
        steps = node.tensor(0).shape[1 if node.flag("layout") else 0]
        if any(length != steps for length in node.integers_at(4) or []):
            raise RefusedError("its sequences differ in length", remedy="export it for one sequence of fixed length")


def _directions(node: Node, defaults: tuple[str, ...]) -> list[Direction]:
    weight, recurrent = node.tensor(1), node.tensor(2)
    names = node.texts("activations") or [*defaults] * weight.shape[0]
    unknown = [name for name in names if name.lower() not in ACTIVATIONS]
    if unknown:
        raise RefusedError(f"it uses the activation {unknown[0]}", remedy="use Sigmoid, Tanh or Relu")
    functions = [ACTIVATIONS[name.lower()] for name in names]
    rows = weight.shape[1]
    bias = node.optional(3)
    peepholes = node.optional(7)
    backwards = node.text("direction", "forward") == "reverse"
    count = len(defaults)
    return [
        Direction(
            weight=weight[place],
            recurrent=recurrent[place],
            input_bias=torch.zeros(rows) if bias is None else bias[place, :rows],
            recurrent_bias=torch.zeros(rows) if bias is None else bias[place, rows:],
            peepholes=None if peepholes is None else peepholes[place],
            activations=tuple(functions[place * count : (place + 1) * count]),
            backwards=backwards or place == 1,
        )
        for place in range(weight.shape[0])
    ]


def _initial(node: Node, index: int, batch: int, *, batch_first: bool) -> Tensor:
    """Return the first state of each direction, [D, N, H]; zeros by default."""
    start = node.optional(index)
    if start is None:
        directions, _, size = node.tensor(2).shape
        return torch.zeros(directions, batch, size)
    return start.transpose(0, 1) if batch_first else start
