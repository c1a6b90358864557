"""node_Conv_343, node_Conv_345 -> Conv_0, Conv_1: names from the graph, not from a counter in the exporter."""

from collections import Counter

import onnx_ir as ir


class NameNodes(ir.passes.InPlacePass):
    """Numbers nodes of each kind in graph order, nested graphs included, so that every name is there once.

    Needs: nothing. Leaves: names of values (and so of inputs, outputs and weights) as they were.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Edit `model` in place and say whether any name changed."""
        modified, seen = False, Counter[str]()
        for node in ir.traversal.RecursiveGraphIterator(model.graph):
            name = f"{node.op_type}_{seen[node.op_type]}"
            seen[node.op_type] += 1
            modified |= node.name != name
            node.name = name
        return ir.passes.PassResult(model, modified=modified)
