"""model with stack traces, notes and metadata -> the same model without: they hold paths of a machine."""

from collections.abc import Iterator
from itertools import chain

import onnx_ir as ir


class StripProvenance(ir.passes.InPlacePass):
    """Clears metadata and documentation of the model, its functions, graphs (nested ones, too), nodes and values.

    torch.onnx writes `pkg.torch.onnx.stack_trace` on every node: the user's file names leak, and the same model
    compiled in two folders differs. Needs: nothing. Leaves: shapes and names as they were.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Edit `model` in place; always says that it changed something."""
        _clear(model)
        model.producer_name, model.producer_version = "edgewright", None
        model.domain, model.model_version = None, None
        model.graph.name = "model"
        for part in _parts(model):
            _clear(part)
        return ir.passes.PassResult(model, modified=True)


def _parts(model: ir.Model) -> Iterator[ir.Graph | ir.Function | ir.Node | ir.Value]:
    holders: list[ir.Graph | ir.Function] = [model.graph, *model.functions.values()]
    for holder in holders:
        yield holder
        yield from chain(holder.inputs, holder.outputs)
        if isinstance(holder, ir.Graph):
            yield from holder.initializers.values()
        for node in ir.traversal.RecursiveGraphIterator(holder):
            yield node
            yield from node.outputs
            if node.graph is not None:
                yield node.graph


def _clear(part: ir.Model | ir.Graph | ir.Function | ir.Node | ir.Value) -> None:
    part.metadata_props.clear()
    part.doc_string = None
    tensor = part.const_value if isinstance(part, ir.Value) else None
    if isinstance(part, ir.Value) and tensor is not None and (tensor.doc_string or tensor.metadata_props):
        part.const_value = ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=tensor.name)  # some kinds are read-only
