"""Features of sound: all that changes the numbers must be said; layout and window follow from the model's shape."""

from collections.abc import Mapping, Set

from compiler.contract.draft import Draft, Fields, complete, norm_needs
from compiler.contract.fit import unfit
from compiler.dataset import Data
from compiler.load.source import SourceModel
from compiler.words import times
from edge.errors import BadInputContractError
from edge.manifest import AudioInput
from edge.preprocess import contract_shape
from edge.sound import check_sound

EXAMPLE: Mapping[str, object] = {
    "sample_rate": 16000,
    "win_length": 480,
    "hop_length": 320,
    "n_fft": 512,
    "n_mels": 40,
    "n_mfcc": 10,
    "f_min": 20.0,
    "f_max": 4000.0,
    "window_fn": "hann",
    "preemphasis": 0.0,
    "power": 1,
    "mel_scale": "htk",
    "triangles": "mel",
    "norm": "none",
    "level": "max",
    "log": "ln",
    "log_offset": 1e-6,
    "log_floor": 0.0,
    "top_db": 0.0,
    "dct_norm": "htk",
}
"""Everything that changes the numbers: none is guessed. These are those of MLPerf Tiny's keyword spotting, whose data
pipeline is built on tf.signal. Source: mlcommons/tiny, benchmark/training/keyword_spotting/get_dataset.py."""

ADVICE: Mapping[str, str] = {
    "sample_rate": "in Hz",
    "win_length": "samples of a frame",
    "hop_length": "samples between two frames",
    "n_fft": "points of the Fourier transform; a frame is filled with zeros",
    "n_mels": "mel filters",
    "n_mfcc": "coefficients of the DCT; 0: none, the input is log-mel",
    "f_min": "in Hz",
    "f_max": "in Hz",
    "window_fn": '"hann", "hamming" or "ones"',
    "preemphasis": "0 for none; 0.97 is usual where there is one",
    "power": "1: magnitude of the spectrum; 2: its square",
    "mel_scale": '"htk" or "slaney"',
    "triangles": '"mel" (TensorFlow, Kaldi) or "hz" (torchaudio, librosa): where the sides of the filters are straight',
    "norm": '"none" or "slaney"',
    "level": '"none", or divide by the largest sample: "max", "absmax"',
    "log": '"ln", "log10" or "db"',
    "log_offset": "added before the logarithm",
    "log_floor": "smaller sums count as this (librosa and torchaudio: `amin`); 0 for none",
    "top_db": "of db: how far below the loudest value others may lie; 0 for no limit",
    "dct_norm": '"ortho" (torchaudio, librosa) or "htk" (TensorFlow)',
}


def audio_contract(given: Fields, model: SourceModel, data: Data) -> AudioInput:
    """Settle how sound becomes features; raises BadDataError and BadInputContractError."""
    if data.kind in ("pictures", "rows"):
        raise unfit(model, data)
    example = {**EXAMPLE, "layout": "NTC", "window": 49, "stride": 10, "mean": [0.0], "std": [1.0]}
    draft = Draft(given, _known(given, model, data), _needs(given), example, ADVICE)
    contract = complete(AudioInput, model, draft)
    check_sound(contract)
    if contract_shape(contract) != model.input_shape[1:]:
        raise BadInputContractError(
            f"the audio contract makes {times(contract_shape(contract))}, the model wants "
            f"{times(model.input_shape[1:])}",
            remedy="correct `layout`, `window`, `n_mfcc` or `n_mels`",
        )
    return contract


def _known(given: Fields, model: SourceModel, data: Data) -> Fields:
    """Sample rate of the data; layout and window, where the shape leaves one choice."""
    known: dict[str, object] = {}
    if data.sample_rate and "sample_rate" not in given:
        known["sample_rate"] = data.sample_rate
    values = given.get("n_mfcc") or given.get("n_mels")
    layouts = _layouts(model.input_shape, values) if isinstance(values, int) else {}
    if len(layouts) == 1:
        known["layout"] = next(iter(layouts))
    layout = given.get("layout", known.get("layout"))
    if layout in layouts:
        known["window"] = layouts[layout]
    return known


def _needs(given: Fields) -> Set[str]:
    """Everything; but where no DCT is taken, not its norm."""
    unused = {"dct_norm"} if given.get("n_mfcc") == 0 else set()
    return (EXAMPLE.keys() - unused) | {"layout", "window", "stride"} | norm_needs(given, "mean", "std")


def _layouts(shape: tuple[int, ...], values: int) -> dict[str, int]:
    """Layouts in which `shape` (with its leading 1) holds frames of `values`, each with the number of frames."""
    match shape[1:]:
        case (flat,):
            return {"NF": flat // values} if flat % values == 0 else {}
        case (first, second):
            both = {"NTC": (first, second), "NCT": (second, first)}
        case (1, second, third):
            both = {"N1TC": (second, third), "N1CT": (third, second)}
        case (first, second, 1):
            both = {"NTC1": (first, second)}
        case _:
            return {}
    return {layout: frames for layout, (frames, wide) in both.items() if wide == values}
