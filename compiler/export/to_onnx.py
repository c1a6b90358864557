"""torch network -> float ONNX file."""

import re
from typing import Any

from compiler.load.source import SourceModel
from compiler.passes import OPSET, rewrite
from compiler.quiet import quiet
from edge.errors import BadModelError


def export_onnx(model: SourceModel) -> bytes:
    """Trace the network with torch's exporter and simplify what it wrote.

    Raises: BadModelError naming the operator that ONNX lacks, or what in the network cannot be traced.
    """
    import torch

    example = tuple(torch.zeros(shape) for shape in (model.input_shape, *model.state))
    try:
        with quiet(), torch.inference_mode(mode=False):
            import onnx_ir as ir

            program: Any = torch.onnx.export(
                model.payload,
                example,
                dynamo=True,
                verbose=False,
                optimize=False,
                external_data=False,
                opset_version=OPSET,
                input_names=["input", *state_names(len(model.state))],
            )
            graph = program.model
            _name_outputs(graph.graph, len(model.state))
            rewrite(graph)
            content: bytes = ir.to_proto(graph).SerializeToString(deterministic=True)
    except Exception as exc:  # the exporter wraps errors of many types
        raise explain_failure(exc, "ONNX") from exc
    return content


def state_names(count: int) -> list[str]:
    """Names of a file's inputs for states."""
    return [f"state_{at}" for at in range(count)]


def _name_outputs(graph: Any, states: int) -> None:  # noqa: ANN401  an onnx_ir.Graph
    """Call them output, output_1 ..., and at the end state_0_next ...: torch names them after the last layer."""
    answers = len(graph.outputs) - states
    for i, value in enumerate(graph.outputs):
        value.name = f"state_{i - answers}_next" if i >= answers else f"output_{i}" if i else "output"


def explain_failure(exc: BaseException, format_name: str) -> BadModelError:
    """Find the operator, or the first sentence of the innermost error, in what an exporter raised."""
    chain: list[BaseException] = []
    current: BaseException | None = exc
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or current.__context__
    said = "\n".join(str(one) for one in chain)
    operator = re.search(r"(aten|prims|torchvision|\w+)[:.]{1,2}(\w+)(?:\.\w+)?['\"]?\)?>?", _operator_line(said) or "")
    if operator:
        node = re.search(r"node(?: name)?[: ]+'?%?(\w+)", said)
        where = f" (node {node[1]})" if node else ""
        return BadModelError(
            f"the operator {operator[1]}.{operator[2]}{where} has no equivalent in {format_name}",
            remedy="replace it with standard layers, or compile for a target whose runtime uses the other format",
        )
    illegal = re.search(r"failed to legalize operation '([\w.]+)'", said) or re.search(r"'(tfl\.\w+)' op ", said)
    if illegal:
        return BadModelError(
            f"the converter cannot write the operation {illegal[1]} of this network as {format_name}",
            remedy="replace the layer behind it, or compile for a target whose runtime uses the other format",
        )
    innermost = chain[-1]
    line = next((line for line in str(innermost).splitlines() if line.strip()), "no message")
    return BadModelError(
        f"the network cannot be written as {format_name}: {type(innermost).__name__}: {line.strip()}",
        remedy="make torch.export.export(network, (example,)) work first: no branches that depend on values",
    )


def _operator_line(said: str) -> str | None:
    """Return the part of an exporter's message that quotes the operator it does not know."""
    found = re.search(
        r"No (?:ONNX function|decompositions|lowering)[^\n]*?((?:\w+\.\w+\.\w+)|(?:\w+::\w+))|"
        r"(?:Lowering not found|No lowering)[^\n]*?((?:\w+\.\w+\.\w+)|(?:\w+::\w+))|"
        r"OpOverload\(op='([\w.]+)'",
        said,
    )
    return next((group for group in found.groups() if group), None) if found else None
