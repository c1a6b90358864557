"""Windows of rows: how many rows fill the model's input follows from its shape and the columns."""

from math import prod

from compiler.contract.draft import Draft, Fields, complete, norm_needs
from compiler.contract.fit import unfit
from compiler.dataset import Data
from compiler.load.source import SourceModel
from compiler.words import times
from edge.errors import BadInputContractError
from edge.manifest import SeriesInput

ADVICE = {"columns": "names of the columns, in the order of the model's input"}


def series_contract(given: Fields, model: SourceModel, data: Data) -> SeriesInput:
    """Settle how rows become windows; raises BadDataError and BadInputContractError."""
    shape = model.input_shape
    if data.kind in ("pictures", "sound") or len(shape) not in (2, 3):
        raise unfit(model, data)
    columns = given.get("columns", list(data.columns))
    if not isinstance(columns, list):
        raise BadInputContractError("`columns` is no list of names", remedy='columns = ["a", "b"]')
    known = _known(given, shape, columns)
    needs = {"layout", "window", "stride", "columns", *norm_needs(given, "mean", "std")}
    contract = complete(SeriesInput, model, Draft(given, known, needs, _example(shape, columns), ADVICE))
    if contract.window * len(contract.columns) != prod(shape):
        raise BadInputContractError(
            f"{contract.window} rows of {len(contract.columns)} columns do not fill the input {times(shape)}",
            remedy="correct `window` or `columns` in the input contract",
        )
    return contract


def _known(given: Fields, shape: tuple[int, ...], columns: list[object]) -> Fields:
    """Layout, window and columns, as far as the shape determines them."""
    known: dict[str, object] = {}
    if len(shape) == 2:
        known["layout"] = "NF"
    elif shape[1] != shape[2] and len(columns) in shape[1:]:
        known["layout"] = "NTC" if shape[2] == len(columns) else "NCT"
    layout = given.get("layout", known.get("layout"))
    if layout == "NF" and columns and shape[1] % len(columns) == 0:
        known["window"] = shape[1] // len(columns)
    elif layout in ("NTC", "NCT"):
        known["window"] = shape[1] if layout == "NTC" else shape[2]
    if "columns" not in given and columns and "window" in known:
        known["columns"] = columns  # all columns of the table fill the model's input
    return known


def _example(shape: tuple[int, ...], columns: list[object]) -> Fields:
    return {
        "layout": "NTC",
        "window": max(shape[1:]),
        "stride": 1,
        "mean": [0.0] * len(columns),
        "std": [1.0] * len(columns),
        "columns": columns,
    }
