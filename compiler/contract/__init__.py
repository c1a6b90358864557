"""Input contract: what the model's shape determines is filled in, the rest must be given, nothing is guessed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from compiler.contract.audio import audio_contract
from compiler.contract.draft import Fields
from compiler.contract.file import named_or_beside, read_fields
from compiler.contract.image import image_contract
from compiler.contract.kind import kind_of
from compiler.contract.series import series_contract
from compiler.contract.tensor import tensor_contract
from compiler.dataset import Data
from compiler.detection.head import settle_head
from compiler.load.source import SourceModel
from edge.manifest import Head, InputContract, TaskName

_MAKERS: Mapping[str, Callable[[Fields, SourceModel, Data], InputContract]] = {
    "image": image_contract, "series": series_contract, "audio": audio_contract, "tensor": tensor_contract,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Resolved:
    """The contract, the labels that came with it (or none), and where both come from, in words."""

    contract: InputContract
    labels: tuple[str, ...]
    origin: str
    head: Head | None = None
    """Of a detector."""


def resolve_contract(
    model: SourceModel, data: Data, input_file: Path | None, beside: Path | None, *, task: TaskName = "classify"
) -> Resolved:
    """Settle how the model's input is made.

    Args:
        model: its shape determines size, and often the layout.
        data: tells which kind of input there is.
        input_file: as named by the user.
        beside: `NAME.input.toml` next to the model; used if it exists and `input_file` is None.
        task: a detector needs the table `[head]`, too.

    Raises:
        BadInputContractError: fields are open (with a file to paste), unknown, or contradict the model.
        BadDataError: no contract could make this data fit the model.

    """
    file = named_or_beside(input_file, beside)
    given = read_fields(file) if file is not None else {}
    labels = tuple(str(label) for label in given.pop("labels", ()))
    given.pop("task", None)  # `read_task` has taken it
    head = given.pop("head", None)
    kind = kind_of(given.pop("kind", None), given.keys(), model, data)
    contract = _MAKERS[kind](given, model, data)
    origin = "shape of model and data" if file is None else f"{file.name} and the model's shape"
    settled = settle_head(head, model.name) if task == "detect" else None
    return Resolved(contract=contract, labels=labels, origin=origin, head=settled)
