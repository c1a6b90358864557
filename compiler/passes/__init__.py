"""Rewrites of an ONNX graph, on onnx-ir: one pass a file; `simplify` runs them in order."""

from typing import Any

from compiler.quiet import quiet

OPSET = 20
"""What torch's exporter writes, what per-channel quantization needs (13 or later), and what ONNX Runtime 1.20 reads."""


def simplify(content: bytes) -> bytes:
    """Rewrite an ONNX file: batch 1, constants folded, Conv + BatchNormalization fused, no trace of where it was made.

    The same bytes in give the same bytes out.
    """
    with quiet():
        import onnx_ir as ir

        model: Any = ir.from_proto(_parse(content))
        rewrite(model)
        proto: bytes = ir.to_proto(model).SerializeToString(deterministic=True)
    return proto


def rewrite(model: Any) -> None:  # noqa: ANN401  an onnx_ir.Model, whose types are not checked here
    """Run every pass in place."""
    import onnx_ir as ir
    from onnx_ir.passes import common
    from onnxscript import optimizer, version_converter

    from compiler.passes.fix_batch import FixBatch
    from compiler.passes.name_nodes import NameNodes
    from compiler.passes.strip_provenance import StripProvenance

    ir.passes.Sequential(common.RemoveInitializersFromInputsPass(), FixBatch(), StripProvenance())(model)
    if model.opset_imports.get("", OPSET) < OPSET:
        version_converter.convert_version(model, target_version=OPSET, fallback=True)
    common.ShapeInferencePass()(model)
    optimizer.optimize_ir(model)
    ir.passes.Sequential(common.RemoveUnusedNodesPass(), common.ShapeInferencePass(), StripProvenance(), NameNodes())(
        model
    )


def _parse(content: bytes) -> Any:  # noqa: ANN401  an onnx.ModelProto
    import onnx

    return onnx.load_model_from_string(content)
