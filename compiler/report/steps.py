"""How the device makes the model's input, step by step, in words."""

from collections.abc import Sequence
from dataclasses import dataclass

from edge.manifest import AudioInput, ImageInput, InputContract, SeriesInput, TensorInput


@dataclass(frozen=True, slots=True)
class Fact:
    """A name, a value, and perhaps a word on it."""

    name: str
    value: str
    detail: str = ""


def steps(contract: InputContract) -> list[Fact]:
    """One fact for each thing that is done to a sample."""
    if isinstance(contract, ImageInput):
        how = {"stretch": "stretched", "crop": "cropped in the middle", "letterbox": "fitted with a border"}[
            contract.resize
        ]
        return [
            Fact("Picture", "8-bit", "from a camera or a file"),
            Fact("Size", f"{contract.width} × {contract.height}", how),
            Fact("Colour", contract.colour, f"in layout {contract.layout}"),
            Fact("Scale", f"× {_number(contract.scale)}", "of the 0..255 pixel"),
            *_normalization(contract.mean, contract.std),
        ]
    if isinstance(contract, SeriesInput):
        return [
            Fact(
                "Columns",
                str(len(contract.columns)),
                ", ".join(contract.columns[:6]) + (" ..." if len(contract.columns) > 6 else ""),
            ),
            Fact("Window", f"{contract.window} rows", f"a new one every {contract.stride} rows"),
            *_normalization(contract.mean, contract.std),
            Fact("Layout", contract.layout, "N sample, T time, C or F columns"),
        ]
    if isinstance(contract, AudioInput):
        return _sound(contract)
    assert isinstance(contract, TensorInput)  # noqa: S101 - narrows the union
    return [
        Fact("Tensor", " × ".join(map(str, contract.shape)), "float32, taken as it is: features are made elsewhere")
    ]


def _sound(contract: AudioInput) -> list[Fact]:
    rate = contract.sample_rate
    spectrum = "magnitude" if contract.power == 1 else "power"
    level = {
        "none": "as recorded",
        "max": "divided by the largest sample",
        "absmax": "divided by the largest amplitude",
    }
    return [
        Fact("Sound", f"{rate} Hz", f"one channel, {level[contract.level]}"),
        Fact(
            "Frames",
            f"{contract.window} of {1000 * contract.win_length / rate:g} ms",
            f"every {1000 * contract.hop_length / rate:g} ms, {contract.window_fn}; "
            f"a new input every {contract.stride} frames",
        ),
        Fact("Spectrum", f"{contract.n_fft} points", f"{spectrum}, pre-emphasis {_number(contract.preemphasis)}"),
        Fact(
            "Mel filters",
            str(contract.n_mels),
            f"{_number(contract.f_min)} to {_number(contract.f_max)} Hz, {contract.mel_scale}, "
            f"straight in {contract.triangles}, norm {contract.norm}",
        ),
        Fact("Logarithm", contract.log, _of_what(contract)),
        *([Fact("MFCC", str(contract.n_mfcc), f"DCT-II, {contract.dct_norm}")] if contract.n_mfcc else []),
        *_normalization(contract.mean, contract.std),
        Fact("Layout", contract.layout, "N sample, T frames, C values of a frame"),
    ]


def _of_what(contract: AudioInput) -> str:
    floor = f", at least {_number(contract.log_floor)}" if contract.log_floor else ""
    below = f"; at most {_number(contract.top_db)} dB below the loudest" if contract.top_db else ""
    return f"of the value + {_number(contract.log_offset)}{floor}{below}"


def _normalization(mean: Sequence[float], std: Sequence[float]) -> list[Fact]:
    return [
        Fact(
            "Minus mean", ", ".join(map(_number, mean[:4])), "for each channel" if len(mean) > 1 else "for all channels"
        ),
        Fact(
            "Divided by std",
            ", ".join(map(_number, std[:4])),
            "for each channel" if len(std) > 1 else "for all channels",
        ),
    ]


def _number(value: float) -> str:
    return f"{value:.6g}"
