"""float TFLite -> full-integer int8 TFLite, input and output included."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.quantize.tflite_pooling import pool_to_mean
from compiler.quiet import quiet

SIGNATURE = "serving_default"


def quantize_tflite(content: bytes, samples: Iterator[NDArray[np.float32]]) -> bytes:
    """Quantize a float model with the smallest and largest values seen on `samples`.

    The quantizer's own default is a moving average, which clips: 17.4 dB of signal to noise against 30.9 with min/max
    (keyword spotting, measured). Weights are symmetric int8, one scale a channel.

    Raises: whatever the quantizer raises for an operator that it does not know.
    """
    with quiet():
        from ai_edge_quantizer import calibrator, quantizer, recipe
        from ai_edge_quantizer.utils import qsv_utils

        content, input_name = modernize(content)
        work = quantizer.Quantizer(content, recipe.static_wi8_ai8())
        calibration = calibrator.Calibrator(content, num_threads=1, qsv_update_func=qsv_utils.min_max_update)
        feeds = [{input_name: np.ascontiguousarray(sample, np.float32)} for sample in samples]
        calibration.calibrate({SIGNATURE: feeds}, work._recipe_manager)  # its own calibrate() has no such option
        result = work.quantize(calibration.get_model_qsvs(), enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)


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
