"""What a user reads when samples cannot become the model's input."""

from compiler.dataset import Data
from compiler.load.source import SourceModel
from compiler.words import times
from edge.errors import BadDataError


def unfit(model: SourceModel, data: Data) -> BadDataError:
    """Say what a sample has, and what the model wants."""
    what = f"{len(data.columns)} columns" if data.kind == "rows" else f"shape {times(data.shape)}"
    return BadDataError(
        f"{data.path}: a sample has {what}, but the model wants {times(model.input_shape[1:])}",
        remedy="bring the samples into the model's shape, or say with --input FILE.toml how they become its input",
    )
