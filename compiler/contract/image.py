"""Pictures, or arrays that are some: size and layout come from the model's shape, colour and numbers from training."""

from collections.abc import Mapping

from compiler.contract.draft import Draft, Fields, complete, norm_needs
from compiler.contract.fit import unfit
from compiler.dataset import Data
from compiler.load.source import SourceModel
from compiler.words import times
from edge.errors import BadDataError, BadInputContractError
from edge.manifest import ImageInput

ADVICE: Mapping[str, str] = {
    "colour": '"RGB" or "BGR": the order in which the network was trained to get the channels',
    "resize": '"stretch", "crop" or "letterbox": as in training',
    "scale": "input = (pixel * scale - mean) / std with pixel 0..255; this one gives 0..1",
}


def image_contract(given: Fields, model: SourceModel, data: Data) -> ImageInput:
    """Settle how a picture becomes the input; raises BadDataError and BadInputContractError."""
    _check_fit(model, data)
    layout = given.get("layout", model.layout)
    height, width, channels = _sides(model.input_shape, layout)
    known: dict[str, object] = {"width": width, "height": height}
    if layout is not None:
        known["layout"] = layout
        _check_channels(channels, model, layout)
    if channels == 1:
        known["colour"] = "GRAY"
    needs = {"layout", "colour", *norm_needs(given, "scale", "mean", "std")}
    if data.shape[:2] != (height, width):
        needs.add("resize")
    return complete(ImageInput, model, Draft(given, known, needs, _example(channels), ADVICE))


def _check_fit(model: SourceModel, data: Data) -> None:
    if len(model.input_shape) != 4:
        raise BadDataError(
            f"the data are pictures, but the model's input is {times(model.input_shape)}",
            remedy="give --data as .npz or .csv",
        )
    if data.kind in ("rows", "sound") or (data.kind == "arrays" and len(data.shape) not in (2, 3)):
        raise unfit(model, data)


def _sides(shape: tuple[int, ...], layout: object) -> tuple[int, int, int]:
    """Height, width and channels."""
    return (shape[2], shape[3], shape[1]) if layout == "NCHW" else (shape[1], shape[2], shape[3])


def _check_channels(channels: int, model: SourceModel, layout: object) -> None:
    if channels not in (1, 3):
        raise BadInputContractError(
            f"the model's input {times(model.input_shape)} has {channels} channels in layout {layout}",
            remedy="a picture has 1 or 3; check `layout`",
        )


def _example(channels: int) -> Fields:
    return {
        "layout": "NHWC",
        "colour": "RGB",
        "resize": "stretch",
        "scale": 1 / 255,
        "mean": [0.0] * channels,
        "std": [1.0] * channels,
    }
