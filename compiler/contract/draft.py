"""A contract on its way: with every field settled it becomes one, else a file to paste with the open ones marked."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from compiler.load.source import SourceModel
from compiler.words import times
from edge.errors import BadInputContractError
from edge.manifest import AudioInput, ImageInput, SeriesInput
from edge.preprocess import channels

Made = TypeVar("Made", ImageInput, SeriesInput, AudioInput)
Fields = Mapping[str, Any]  # as in a TOML file: its types are checked by msgspec below

ADVICE: Mapping[str, str] = {
    "layout": "as the network's first layer wants it",
    "mean": "one number, or one for each channel or column",
    "std": "one number, or one for each channel or column",
    "window": "rows (of sound: frames) in one input",
    "stride": "rows (of sound: frames) between two inputs",
}
"""On the fields that several kinds have."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a contract is made of."""

    given: Fields
    """By the user."""
    known: Fields
    """What model and data determine: it need not be given, and nothing else may be."""
    needs: Set[str]
    """Fields that have no default here: they are open until somebody settles them."""
    example: Fields
    """A value for each field that may be open, for the file to paste."""
    advice: Mapping[str, str]
    """On the fields that only this kind has."""


def norm_needs(given: Fields, *fields: str) -> Set[str]:
    """Fields of the normalization, all of which are open unless one was given: then the others have defaults."""
    return frozenset() if set(fields) & given.keys() else frozenset(fields)


def complete(kind: type[Made], model: SourceModel, draft: Draft) -> Made:
    """Make the contract.

    Raises: BadInputContractError if a field is open (with a file to paste), contradicts the model, or is wrong.
    """
    _refuse_contradiction(model, draft)
    settled = {
        key: value if isinstance(value, list) or key not in ("mean", "std") else [value]
        for key, value in {**draft.known, **draft.given}.items()
    }
    open_fields = [field for field in kind.__struct_fields__ if field in draft.needs and field not in settled]
    if open_fields:
        raise BadInputContractError(
            f"the model alone does not say how its input is made; open: {', '.join(open_fields)}",
            remedy="check the lines marked OPEN, then save this "
            f"as {model.name}.input.toml beside the model, or pass it with --input:\n\n"
            + _toml(kind, settled, open_fields, draft),
        )
    try:
        contract = msgspec.convert({"kind": kind.__struct_config__.tag, **settled}, kind)
    except msgspec.ValidationError as exc:
        raise BadInputContractError(
            f"the input contract is wrong: {exc}", remedy="docs/compile.md lists every field"
        ) from exc
    _check_normalization(contract)
    return contract


def _refuse_contradiction(model: SourceModel, draft: Draft) -> None:
    for key, value in draft.known.items():
        said = draft.given.get(key, value)
        if said != value:
            raise BadInputContractError(
                f"the input contract says {key} = {said!r}, the model ({times(model.input_shape)}) {value!r}",
                remedy=f"correct {key!r}, or leave it out",
            )


def _check_normalization(contract: ImageInput | SeriesInput | AudioInput) -> None:
    wide = channels(contract)
    for name, values in (("mean", contract.mean), ("std", contract.std)):
        if len(values) not in (1, wide):
            raise BadInputContractError(f"{name!r} has {len(values)} numbers", remedy=f"one number, or {wide}")
    if not all(value > 0 for value in contract.std):
        raise BadInputContractError("`std` divides, but is not positive", remedy="use positive numbers, or 1.0")


def _toml(kind: type[Made], settled: Fields, open_fields: list[str], draft: Draft) -> str:
    advice = {**ADVICE, **draft.advice}
    lines = []
    for field in kind.__struct_fields__:
        if field in settled:
            lines.append(f"{field} = {_value(settled[field])}")
        elif field in open_fields:
            lines.append(f"{field} = {_value(draft.example[field])}  # OPEN: {advice[field]}")
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    return msgspec.json.encode(value).decode()  # of these types JSON is TOML
