"""A TFLite file as the quantizer expects it, and what is left in float after it."""

from typing import Any

from compiler.quantize.tflite_pooling import pool_to_mean

SIGNATURE = "serving_default"


def modernize(content: bytes) -> tuple[bytes, str]:
    """Return the model as the quantizer expects it, global pools as means, and its input's name in SIGNATURE.

    Files made before 2021 have no signature, by which the quantizer finds tensors, and keep operator numbers in another
    field: the quantizer would take every operator for ADD (number 0), and every weight for an activation.
    Source: `deprecated_builtin_code` in TensorFlow Lite's schema.fbs, version 3a.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(content)
    for code in model.operatorCodes:
        code.builtinCode = flatbuffer_utils.get_builtin_code_from_operator_code(code)
    pool_to_mean(model)
    names = [one.inputs[0].name.decode() for one in model.signatureDefs or [] if one.signatureKey == SIGNATURE.encode()]
    if not names:
        model.signatureDefs = [_signature(schema, model.subgraphs[0])]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model)), next(iter(names), "input")


def _signature(schema: Any, graph: Any) -> Any:  # noqa: ANN401  generated flatbuffer objects without types
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = SIGNATURE.encode(), 0
    signature.inputs = [_entry(schema, "input", graph.inputs[0])]
    signature.outputs = [_entry(schema, f"output_{i}", index) for i, index in enumerate(graph.outputs)]
    return signature


def _entry(schema: Any, name: str, index: int) -> Any:  # noqa: ANN401
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name.encode(), index
    return entry


def float_operators(content: bytes) -> tuple[str, ...]:
    """Name the operators that still compute in float, sorted; QUANTIZE and DEQUANTIZE do not count."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
    model = flatbuffer_utils.read_model_from_bytearray(content)
    found = set()
    for graph in model.subgraphs:
        for op in graph.operators:
            name = names[flatbuffer_utils.get_builtin_code_from_operator_code(model.operatorCodes[op.opcodeIndex])]
            if (
                name not in {"QUANTIZE", "DEQUANTIZE"}
                and graph.tensors[op.outputs[0]].type == schema.TensorType.FLOAT32
            ):
                found.add(name)
    return tuple(sorted(found))


def has_integers(content: bytes) -> bool:
    """Whether any operator but a conversion writes int8 or int16."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    graph = flatbuffer_utils.read_model_from_bytearray(content).subgraphs[0]
    kinds = {schema.TensorType.INT8, schema.TensorType.INT16}
    return any(graph.tensors[index].type in kinds for op in graph.operators for index in op.outputs)
