"""Damage to an ONNX model that still parses: wrong sizes, attributes, operators, types, names and weights."""

import random
from collections.abc import Callable
from typing import Any

from mutate import mutate

SIZES = (-1, 0, 1, 2, 3, 7, 8, 2**31 - 1, 2**62)
FLOATS = (0.0, -1.0, 1e-30, 1e30, float("inf"), float("nan"))
KINDS = (
    "Relu",
    "Conv",
    "MatMul",
    "Gemm",
    "Reshape",
    "Concat",
    "Slice",
    "Pad",
    "LSTM",
    "Loop",
    "If",
    "Resize",
    "Xyz",
    "",
)


def mutate_graph(content: bytes, dice: random.Random) -> bytes:
    """Return the model with one or two such faults."""
    import onnx

    model = onnx.ModelProto.FromString(content)
    for _ in range(dice.choice((1, 1, 2))):
        dice.choice(_FAULTS)(model, dice)
    damaged: bytes = model.SerializeToString()
    return mutate(content, dice) if damaged == content else damaged


def _attribute(model: Any, dice: random.Random) -> None:
    attributes = [attribute for node in model.graph.node for attribute in node.attribute]
    if not attributes:
        return
    attribute = dice.choice(attributes)
    if attribute.ints:
        attribute.ints[dice.randrange(len(attribute.ints))] = dice.choice(SIZES)
    attribute.i, attribute.f = dice.choice(SIZES), dice.choice(FLOATS)
    if dice.random() < 0.2:
        attribute.name = dice.choice(("", "axis", "kernel_shape", "auto_pad", "\x00"))


def _operator(model: Any, dice: random.Random) -> None:
    node = dice.choice(model.graph.node)
    node.op_type = dice.choice(KINDS)
    node.domain = dice.choice(("", "", "", "ai.onnx.ml", "com.example"))


def _wiring(model: Any, dice: random.Random) -> None:
    """An input that is missing, repeated or another node's, or an output that stands twice."""
    names = [name for node in model.graph.node for name in (*node.input, *node.output)]
    node = dice.choice(model.graph.node)
    ends = dice.choice((node.input, node.output))
    match dice.randrange(3):
        case 0:
            ends[dice.randrange(len(ends))] = dice.choice((*names, "", "nowhere"))
        case 1:
            del ends[dice.randrange(len(ends))]
        case _:
            ends.append(dice.choice(names))


def _order(model: Any, dice: random.Random) -> None:
    """A node lost, doubled, or in another place."""
    at, node = dice.randrange(len(model.graph.node)), type(model.graph.node[0])()
    node.CopyFrom(model.graph.node[at])
    if dice.random() < 0.7:
        del model.graph.node[at]
    if dice.random() < 0.7:
        model.graph.node.insert(dice.randrange(len(model.graph.node) + 1), node)


def _weights(model: Any, dice: random.Random) -> None:
    """Other bytes, sizes or types of a constant."""
    weights = dice.choice(model.graph.initializer)
    match dice.randrange(4):
        case 0:
            weights.raw_data = mutate(weights.raw_data, dice)
        case 1:
            damaged = bytearray(weights.raw_data)
            damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
            weights.raw_data = bytes(damaged)
        case 2:
            weights.dims[dice.randrange(len(weights.dims))] = dice.choice(SIZES)
        case _:
            weights.data_type = dice.randrange(24)


def _ends(model: Any, dice: random.Random) -> None:
    """Another shape or type of the model's input or output."""
    kind = dice.choice((model.graph.input, model.graph.output))[0].type.tensor_type
    if dice.random() < 0.3:
        kind.elem_type = dice.randrange(24)
    else:
        kind.shape.dim[dice.randrange(len(kind.shape.dim))].dim_value = dice.choice(SIZES)


def _versions(model: Any, dice: random.Random) -> None:
    model.opset_import[0].version = dice.choice((0, 1, 7, 11, 13, 18, 21, 99, -1))
    model.ir_version = dice.choice((0, 3, 8, 9, 99, model.ir_version))


_FAULTS: tuple[Callable[[Any, random.Random], None], ...] = (
    _attribute,
    _attribute,
    _operator,
    _wiring,
    _order,
    _weights,
    _weights,
    _ends,
    _versions,
)
