"""Data in the model's own shape: there is nothing to settle."""

from compiler.contract.draft import Fields
from compiler.contract.fit import unfit
from compiler.dataset import Data
from compiler.load.source import SourceModel
from edge.manifest import TensorInput


def tensor_contract(given: Fields, model: SourceModel, data: Data) -> TensorInput:  # noqa: ARG001  (all kinds alike)
    """Hold that samples have the model's shape; raises BadDataError."""
    wanted = model.input_shape[1:]
    if data.steps and wanted[0] == 1 and len(wanted) > 1 and data.shape == wanted[1:]:
        return TensorInput(shape=model.input_shape)  # a step of a layer that takes sequences: [1, 1, features]
    if data.kind in ("pictures", "sound") or data.shape != wanted:
        raise unfit(model, data)
    return TensorInput(shape=model.input_shape)
