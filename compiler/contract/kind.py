"""Which kind of input there is: as the file says, by a key that only one kind has, else by the data."""

from collections.abc import Mapping, Set

from compiler.dataset import Data
from compiler.load.source import SourceModel
from edge.errors import BadInputContractError
from edge.manifest import AudioInput, ImageInput, InputContract, SeriesInput, TensorInput

KINDS: Mapping[str, type[InputContract]] = {
    "image": ImageInput, "series": SeriesInput, "audio": AudioInput, "tensor": TensorInput,
}  # fmt: skip
OWN_KEYS = {
    "image": {"width", "height", "colour", "resize", "scale"},
    "audio": {"sample_rate", "win_length", "hop_length", "n_fft", "n_mels", "n_mfcc", "f_min", "f_max"},
    "series": {"window", "stride", "columns"},
}


def kind_of(said: object, keys: Set[str], model: SourceModel, data: Data) -> str:
    """Name the kind of input.

    Args:
        said: `kind` of the contract file; None where it says none.
        keys: its other keys.
        model: one that takes sequences, or has a state, makes a series of rows.
        data: decides where the file does not.

    Raises: BadInputContractError for a kind that nobody knows.

    """
    if said is not None:
        if said not in KINDS:
            raise BadInputContractError(f"unknown kind of input {said!r}", remedy=f"one of {', '.join(KINDS)}")
        return str(said)
    for kind, own in OWN_KEYS.items():
        if own & keys:
            return kind
    if data.kind in ("pictures", "sound"):
        return "image" if data.kind == "pictures" else "audio"
    return "series" if data.kind == "rows" and (len(model.input_shape) == 3 or model.state) else "tensor"
