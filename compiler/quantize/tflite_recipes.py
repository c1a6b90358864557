"""float TFLite + ranges -> integer or half-size TFLite, through ai-edge-quantizer with ranges of our own.

The quantizer's own default is a moving average, which clips: 17.4 dB of signal to noise against 30.9 with min/max
(keyword spotting, measured). Weights are symmetric int8, one scale a channel.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np

from compiler.observe.ranges import Range
from compiler.quiet import quiet


def quantize_tflite(
    content: bytes,
    ranges: Mapping[str, Range],
    *,
    activation_bits: Literal[8, 16] = 8,
    keep_float: Iterable[str] = (),
    only: Iterable[str] = (),
) -> bytes:
    """Quantize a float model, made ready by `modernize`, with given activation ranges.

    Args:
        content: the float file.
        ranges: of every float activation by tensor name; they hold zero.
        activation_bits: with 16, and wherever a layer stays float, input and output of the file are float32.
        keep_float: operators that are left alone, each by the name of its first output.
        only: if given, no other operator is quantized.

    Raises: whatever the quantizer raises for an operator that it does not know.
    """
    with quiet():
        from ai_edge_quantizer import qtyping, recipe_manager

        everything, unquantized = qtyping.TFLOperationName.ALL_SUPPORTED, recipe_manager.AlgorithmName.NO_QUANTIZE
        recipe = recipe_manager.RecipeManager()
        chosen = [_scope(name) for name in only] or [".*"]
        for scope in chosen:
            recipe.add_static_config(scope, everything, activation_num_bits=activation_bits, weight_num_bits=8)
        kept = [_scope(name) for name in keep_float]
        for scope in kept:
            recipe.add_quantization_config(scope, everything, algorithm_key=unquantized)
        if kept or activation_bits == 16:
            for end in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
                recipe.add_quantization_config("^", end, algorithm_key=unquantized)
        made = _apply(content, recipe, _statistics(content, ranges))
        return float_outputs(made) if kept else made


def float_outputs(content: bytes) -> bytes:
    """Float layer -> QUANTIZE -> output: let the output be what the float layer gave.

    The quantizer hands an output that an integer operator reads, too, to both in the latter's type.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model: Any = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    graph, code_of = model.subgraphs[0], flatbuffer_utils.get_builtin_code_from_operator_code
    before = {
        int(op.outputs[0]): int(op.inputs[0])
        for op in graph.operators
        if code_of(model.operatorCodes[op.opcodeIndex]) == schema.BuiltinOperator.QUANTIZE
        and graph.tensors[op.inputs[0]].type == schema.TensorType.FLOAT32
    }
    if not before.keys() & {int(index) for index in graph.outputs}:
        return content
    graph.outputs = [before.get(int(index), int(index)) for index in graph.outputs]
    for entry in (entry for one in model.signatureDefs or [] for entry in one.outputs):
        entry.tensorIndex = before.get(int(entry.tensorIndex), int(entry.tensorIndex))
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def shrink_tflite(content: bytes, kind: Literal["float16", "int8"]) -> bytes:
    """Keep the weights in float16 or int8 and expand them when the model is loaded; it computes in float as before."""
    with quiet():
        from ai_edge_quantizer import qtyping, recipe_manager

        names = recipe_manager.AlgorithmName
        algorithm = names.FLOAT_CASTING if kind == "float16" else names.MIN_MAX_UNIFORM_QUANT
        recipe = recipe_manager.RecipeManager()
        recipe.add_weight_only_config(
            ".*",
            qtyping.TFLOperationName.ALL_SUPPORTED,
            num_bits=16 if kind == "float16" else 8,
            algorithm_key=algorithm,
        )
        return _apply(content, recipe, None)


def _scope(name: str) -> str:
    """Match one operator: the quantizer joins the names of an operator's outputs with semicolons."""
    return f"^{re.escape(name)};"


def _statistics(content: bytes, ranges: Mapping[str, Range]) -> dict[str, dict[str, Any]]:
    """Ranges in the quantizer's own form: arrays of as many dimensions as the tensor has."""
    from ai_edge_litert.tools import flatbuffer_utils

    tensors = flatbuffer_utils.read_model_from_bytearray(content).subgraphs[0].tensors
    ranks = {tensor.name.decode(): len(tensor.shape) for tensor in tensors if tensor.shape is not None}
    return {
        name: {
            end: np.full((1,) * ranks.get(name, 0), value, np.float32)
            for end, value in zip(("min", "max"), span, strict=True)
        }
        for name, span in ranges.items()
    }


def _apply(content: bytes, recipe: Any, statistics: dict[str, dict[str, Any]] | None) -> bytes:  # noqa: ANN401
    from ai_edge_quantizer import quantizer

    work = quantizer.Quantizer(content, recipe.get_quantization_recipe())
    made = work.quantize(statistics, enable_progress_bar=False, enable_progress_report=False)
    return bytes(made.quantized_model)
