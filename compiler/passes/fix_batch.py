"""input[N, ...] -> input[1, ...]: give open batch sizes a fixed value."""

import onnx_ir as ir


class FixBatch(ir.passes.InPlacePass):
    """NPUs plan their memory ahead of time, so no input may keep an open first dimension.

    Needs: nothing. Leaves: no inner shapes, so shape inference must run next.
    """

    def __init__(self, size: int = 1) -> None:
        super().__init__()
        self.size = size

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Edit `model` in place and say whether anything changed."""
        modified = False
        for value in model.graph.inputs:
            if value.shape and not isinstance(value.shape[0], int):
                value.shape = ir.Shape([self.size, *value.shape[1:]])  # shapes may be shared and frozen
                modified = True
        if modified:
            self._forget_inner_shapes(model.graph)
        return ir.passes.PassResult(model, modified=modified)

    def _forget_inner_shapes(self, graph: ir.Graph) -> None:
        """Shape inference fills gaps, but does not overwrite `N` with the 1 that it has become."""
        for node in graph:
            for value in node.outputs:
                value.shape = None
