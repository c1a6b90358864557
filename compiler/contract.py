"""Input contract: what the model's shape determines is filled in, the rest must be given, nothing is guessed."""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

import msgspec

from compiler.dataset import Data
from compiler.detection.head import settle_head
from compiler.load.source import SourceModel
from compiler.sound_contract import ADVICE_ON_SOUND, SOUND_EXAMPLE, sound_layouts
from edge.errors import BadDataError, BadInputContractError, FileMissingError
from edge.manifest import AudioInput, Head, ImageInput, InputContract, SeriesInput, TaskName, TensorInput
from edge.preprocess import channels, contract_shape
from edge.sound import check_sound

Made = TypeVar("Made", ImageInput, SeriesInput, AudioInput)
Fields = dict[str, Any]  # the content of a TOML file: its types are checked by msgspec below

KINDS: Mapping[str, type[InputContract]] = {
    "image": ImageInput, "series": SeriesInput, "audio": AudioInput, "tensor": TensorInput,
}  # fmt: skip
OWN_KEYS = {
    "image": {"width", "height", "colour", "resize", "scale"},
    "audio": {"sample_rate", "win_length", "hop_length", "n_fft", "n_mels", "n_mfcc", "f_min", "f_max"},
    "series": {"window", "stride", "columns"},
}
TASKS = get_args(TaskName)
KEYS = {"kind", "labels", "task", "head", *(field for kind in KINDS.values() for field in kind.__struct_fields__)}
ADVICE = {
    "colour": '"RGB" or "BGR": the order in which the network was trained to get the channels',
    "resize": '"stretch", "crop" or "letterbox": as in training',
    "layout": "as the network's first layer wants it",
    "scale": "input = (pixel * scale - mean) / std with pixel 0..255; this one gives 0..1",
    "mean": "one number, or one for each channel or column",
    "std": "one number, or one for each channel or column",
    "window": "rows (of sound: frames) in one input",
    "stride": "rows (of sound: frames) between two inputs",
    **ADVICE_ON_SOUND,
    "columns": "names of the columns, in the order of the model's input",
}


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
    file = input_file if input_file is not None else beside if beside is not None and beside.is_file() else None
    given = _read(file) if file is not None else {}
    labels = tuple(str(label) for label in given.pop("labels", ()))
    given.pop("task", None)  # `read_task` has taken it
    head = given.pop("head", None)
    kind = _kind(given, model, data)
    contract: InputContract
    if kind == "image":
        contract = _image(given, model, data)
    elif kind == "series":
        contract = _series(given, model, data)
    elif kind == "audio":
        contract = _audio(given, model, data)
    else:
        contract = _tensor(model, data)
    origin = "shape of model and data" if file is None else f"{file.name} and the model's shape"
    settled = settle_head(head, model.name) if task == "detect" else None
    return Resolved(contract=contract, labels=labels, origin=origin, head=settled)


def beside(model: str) -> Path:
    """Return where NAME.input.toml lies: next to NAME.onnx, or next to NAME.py of `NAME.py:function`."""
    file, _, function = model.rpartition(":")
    path = Path(file if file.endswith(".py") and function.isidentifier() else model)
    return path.with_name(f"{path.stem}.input.toml")


def read_task(input_file: Path | None, beside: Path | None) -> TaskName | None:
    """The `task` that the input contract states, if there is one that does; raises BadInputContractError."""
    file = input_file if input_file is not None else beside if beside is not None and beside.is_file() else None
    given = _read(file).get("task") if file is not None else None
    if given is not None and given not in TASKS:
        raise BadInputContractError(f"{file} has the unknown task {given!r}", remedy=f"one of {', '.join(TASKS)}")
    return cast("TaskName | None", given)


def read_labels(file: Path) -> tuple[str, ...]:
    """Read class names, one a line, in the order of the model's outputs."""
    if not file.is_file():
        raise FileMissingError(
            f"no labels file at {file}", remedy="--labels wants a text file with one class name a line"
        )
    try:
        names = tuple(line.strip() for line in file.read_text("utf-8").splitlines() if line.strip())
    except UnicodeDecodeError as exc:
        raise BadDataError(
            f"{file} is no text", remedy="--labels wants a UTF-8 file with one class name a line"
        ) from exc
    if not names:
        raise BadDataError(
            f"{file} holds no class names", remedy="write one class name a line, in the order of the model's outputs"
        )
    return names


def _read(file: Path) -> Fields:
    if not file.is_file():
        raise FileMissingError(
            f"no input contract at {file}", remedy="--input wants a TOML file; without it the model's needs are listed"
        )
    try:
        given = tomllib.loads(file.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise BadInputContractError(f"{file} is not TOML: {exc}", remedy="write lines such as  width = 96") from exc
    for key in given:
        if key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(sorted(KEYS))}"
            raise BadInputContractError(f"{file} has the unknown key {key!r}", remedy=hint)
    return given


def _kind(given: Fields, model: SourceModel, data: Data) -> str:
    if "kind" in given:
        kind = given.pop("kind")
        if kind not in KINDS:
            raise BadInputContractError(f"unknown kind of input {kind!r}", remedy=f"one of {', '.join(KINDS)}")
        return str(kind)
    for kind, keys in OWN_KEYS.items():
        if keys & given.keys():
            return kind
    if data.kind in ("pictures", "sound"):
        return "image" if data.kind == "pictures" else "audio"
    return "series" if data.kind == "rows" and (len(model.input_shape) == 3 or model.state) else "tensor"


# ---- tensor


def _tensor(model: SourceModel, data: Data) -> TensorInput:
    wanted = model.input_shape[1:]
    if data.steps and wanted[0] == 1 and len(wanted) > 1 and data.shape == wanted[1:]:
        return TensorInput(shape=model.input_shape)  # a step of a layer that takes sequences: [1, 1, features]
    if data.kind in ("pictures", "sound") or data.shape != wanted:
        raise _unfit(model, data)
    return TensorInput(shape=model.input_shape)


def _unfit(model: SourceModel, data: Data) -> BadDataError:
    what = f"{len(data.columns)} columns" if data.kind == "rows" else f"shape {_times(data.shape)}"
    return BadDataError(
        f"{data.path}: a sample has {what}, but the model wants {_times(model.input_shape[1:])}",
        remedy="bring the samples into the model's shape, or say with --input FILE.toml how they become its input",
    )


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


# ---- image


def _image(given: Fields, model: SourceModel, data: Data) -> ImageInput:
    shape = model.input_shape
    if len(shape) != 4:
        raise BadDataError(
            f"the data are pictures, but the model's input is {_times(shape)}", remedy="give --data as .npz or .csv"
        )
    if data.kind in ("rows", "sound") or (data.kind == "arrays" and len(data.shape) not in (2, 3)):
        raise _unfit(model, data)
    layout = given.get("layout", model.layout)
    height, width, channels = (shape[2], shape[3], shape[1]) if layout == "NCHW" else (shape[1], shape[2], shape[3])
    known: Fields = {"width": width, "height": height}
    if layout is not None:
        known["layout"] = layout
    if layout is not None and channels not in (1, 3):
        raise BadInputContractError(
            f"the model's input {_times(shape)} has {channels} channels in layout {layout}",
            remedy="a picture has 1 or 3; check `layout`",
        )
    if channels == 1:
        known["colour"] = "GRAY"
    needs = {"layout", "colour"}
    if not {"scale", "mean", "std"} & given.keys():
        needs |= {"scale", "mean", "std"}
    if data.shape[:2] != (height, width):
        needs.add("resize")
    return _build(ImageInput, model, given, known, needs=needs, example=_image_example(channels))


def _image_example(channels: int) -> Fields:
    return {
        "layout": "NHWC",
        "colour": "RGB",
        "resize": "stretch",
        "scale": 1 / 255,
        "mean": [0.0] * channels,
        "std": [1.0] * channels,
    }


# ---- series


def _series(given: Fields, model: SourceModel, data: Data) -> SeriesInput:
    shape = model.input_shape
    if data.kind in ("pictures", "sound") or len(shape) not in (2, 3):
        raise _unfit(model, data)
    columns = given.get("columns", list(data.columns))
    if not isinstance(columns, list):
        raise BadInputContractError("`columns` is no list of names", remedy='columns = ["a", "b"]')
    known: Fields = {}
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
    needs = {"layout", "window", "stride", "columns"}
    if not {"mean", "std"} & given.keys():
        needs |= {"mean", "std"}
    example = {
        "layout": "NTC",
        "window": max(shape[1:]),
        "stride": 1,
        "mean": [0.0] * len(columns),
        "std": [1.0] * len(columns),
    }
    example["columns"] = columns
    contract = _build(SeriesInput, model, given, known, needs=needs, example=example)
    if contract.window * len(contract.columns) != prod(shape):
        raise _unfit_series(contract, model)
    return contract


def _unfit_series(contract: SeriesInput, model: SourceModel) -> BadInputContractError:
    return BadInputContractError(
        f"{contract.window} rows of {len(contract.columns)} columns do not fill the input {_times(model.input_shape)}",
        remedy="correct `window` or `columns` in the input contract",
    )


# ---- sound


def _audio(given: Fields, model: SourceModel, data: Data) -> AudioInput:
    if data.kind in ("pictures", "rows"):
        raise _unfit(model, data)
    known: Fields = {}
    if data.sample_rate and "sample_rate" not in given:
        known["sample_rate"] = data.sample_rate
    values = given.get("n_mfcc") or given.get("n_mels")
    layouts = sound_layouts(model.input_shape, values) if isinstance(values, int) else {}
    if len(layouts) == 1:
        known["layout"] = next(iter(layouts))
    layout = given.get("layout", known.get("layout"))
    if layout in layouts:
        known["window"] = layouts[layout]
    needs = set(SOUND_EXAMPLE) - (set() if given.get("n_mfcc") != 0 else {"dct_norm"}) | {"layout", "window", "stride"}
    if not {"mean", "std"} & given.keys():
        needs |= {"mean", "std"}
    example = {**SOUND_EXAMPLE, "layout": "NTC", "window": 49, "stride": 10, "mean": [0.0], "std": [1.0]}
    contract = _build(AudioInput, model, given, known, needs=needs, example=example)
    check_sound(contract)
    if contract_shape(contract) != model.input_shape[1:]:
        raise BadInputContractError(
            f"the audio contract makes {_times(contract_shape(contract))}, the model wants "
            f"{_times(model.input_shape[1:])}",
            remedy="correct `layout`, `window`, `n_mfcc` or `n_mels`",
        )
    return contract


# ---- all


def _build(
    kind: type[Made], model: SourceModel, given: Fields, known: Fields, *, needs: set[str], example: Fields
) -> Made:
    for key, value in known.items():
        if given.get(key, value) != value:
            raise BadInputContractError(
                f"the input contract says {key} = {given[key]!r}, the model ({_times(model.input_shape)}) {value!r}",
                remedy=f"correct {key!r}, or leave it out",
            )
    settled = {
        key: value if isinstance(value, list) or key not in ("mean", "std") else [value]
        for key, value in (known | given).items()
    }
    open_fields = [field for field in kind.__struct_fields__ if field in needs and field not in settled]
    if open_fields:
        raise BadInputContractError(
            f"the model alone does not say how its input is made; open: {', '.join(open_fields)}",
            remedy="check the lines marked OPEN, then save this "
            f"as {model.name}.input.toml beside the model, or pass it with --input:\n\n"
            + _toml(kind, settled, open_fields, example),
        )
    try:
        contract = msgspec.convert({"kind": kind.__struct_config__.tag, **settled}, kind)
    except msgspec.ValidationError as exc:
        raise BadInputContractError(
            f"the input contract is wrong: {exc}", remedy="docs/compile.md lists every field"
        ) from exc
    _check_normalization(contract)
    return contract


def _check_normalization(contract: ImageInput | SeriesInput | AudioInput) -> None:
    wide = channels(contract)
    for name, values in (("mean", contract.mean), ("std", contract.std)):
        if len(values) not in (1, wide):
            raise BadInputContractError(f"{name!r} has {len(values)} numbers", remedy=f"one number, or {wide}")
    if not all(value > 0 for value in contract.std):
        raise BadInputContractError("`std` divides, but is not positive", remedy="use positive numbers, or 1.0")


def _toml(kind: type[Made], settled: Fields, open_fields: list[str], example: Fields) -> str:
    lines = []
    for field in kind.__struct_fields__:
        if field in settled:
            lines.append(f"{field} = {_value(settled[field])}")
        elif field in open_fields:
            lines.append(f"{field} = {_value(example[field])}  # OPEN: {ADVICE[field]}")
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    return msgspec.json.encode(value).decode()  # of these types JSON is TOML
