"""Damage to a TFLite model that is still a flatbuffer: wrong shapes, types, wiring, operators, weights, scales."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
from mutate import mutate

SIZES = (-1, 0, 1, 2, 3, 7, 8, 2**31 - 1)
INDICES = (-1, 0, 1, 2, 3, 99, 2**31 - 1)
SCALES = (0.0, -1.0, 1e-30, 1e30, float("inf"), float("nan"))


def mutate_flatbuffer(content: bytes, dice: random.Random) -> bytes:
    """Return the model with one or two such faults."""
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    whole = bytes(flatbuffer_utils.convert_object_to_bytearray(model))
    for _ in range(dice.choice((1, 1, 2))):
        dice.choice(_FAULTS)(model, dice)
    damaged = bytes(flatbuffer_utils.convert_object_to_bytearray(model))
    return mutate(content, dice) if damaged == whole else damaged


def _tensor(model: Any, dice: random.Random) -> None:
    """Another shape, type, buffer or name."""
    tensor = dice.choice(model.subgraphs[0].tensors)
    match dice.randrange(5):
        case 0 | 1:
            shape = [int(size) for size in tensor.shape] or [1]
            shape[dice.randrange(len(shape))] = dice.choice(SIZES)
            tensor.shape = np.array(shape, np.int32)
        case 2:
            tensor.type = dice.randrange(20)
        case 3:
            tensor.buffer = dice.choice((0, 1, 2, 99))
        case _:
            tensor.name = dice.choice((b"", b"\xff\xfe", b"x" * 300))


def _wiring(model: Any, dice: random.Random) -> None:
    """An input or output of an operator or of the model that is missing, another's, or nowhere."""
    graph = model.subgraphs[0]
    owner = dice.choice((*graph.operators, graph))
    side = dice.choice(("inputs", "outputs"))
    ends = [int(index) for index in getattr(owner, side)]
    match dice.randrange(3):
        case 0:
            ends[dice.randrange(len(ends))] = dice.choice(INDICES)
        case 1:
            del ends[dice.randrange(len(ends))]
        case _:
            ends.append(dice.choice(INDICES))
    setattr(owner, side, np.array(ends, np.int32))


def _operator(model: Any, dice: random.Random) -> None:
    """Another kind, version, option or place."""
    operators = model.subgraphs[0].operators
    operator, code = dice.choice(operators), dice.choice(model.operatorCodes)
    match dice.randrange(5):
        case 0:
            code.builtinCode = code.deprecatedBuiltinCode = dice.randrange(128)
        case 1:
            code.version = dice.choice((0, 1, 2, 99))
        case 2:
            operator.opcodeIndex = dice.choice((0, 1, 2, 99))
        case 3 if operator.builtinOptions is not None:
            name = dice.choice(sorted(vars(operator.builtinOptions)))
            if isinstance(getattr(operator.builtinOptions, name), int):
                setattr(operator.builtinOptions, name, dice.choice((0, 1, 2, 3, 100)))
        case _:
            dice.shuffle(operators)


def _weights(model: Any, dice: random.Random) -> None:
    """Other bytes in a buffer, as many or not."""
    buffer = dice.choice([one for one in model.buffers if one.data is not None and len(one.data)])
    content = bytearray(bytes(buffer.data))
    if dice.random() < 0.3:
        content = bytearray(mutate(bytes(content), dice))
    else:
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    buffer.data = np.frombuffer(bytes(content), np.uint8)


def _scale(model: Any, dice: random.Random) -> None:
    """Another scale, zero point or axis of a quantized tensor."""
    tensors = [one for one in model.subgraphs[0].tensors if one.quantization and one.quantization.scale is not None]
    if not tensors:
        return _weights(model, dice)
    quantization = dice.choice(tensors).quantization
    match dice.randrange(3):
        case 0:
            scale = np.array(quantization.scale, np.float32)
            scale[dice.randrange(len(scale))] = dice.choice(SCALES)
            quantization.scale = scale
        case 1:
            quantization.zeroPoint = np.array([dice.choice((-129, -128, 0, 127, 255, 2**40))], np.int64)
        case _:
            quantization.quantizedDimension = dice.choice((-1, 0, 1, 3, 99))
    return None


_FAULTS: tuple[Callable[[Any, random.Random], None], ...] = (
    _tensor,
    _tensor,
    _wiring,
    _operator,
    _operator,
    _weights,
    _weights,
    _scale,
)
