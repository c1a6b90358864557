"""Sound to features: as TensorFlow and the plain definition say, and the same however it arrives."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import BadDataError, BadInputContractError
from edge.manifest import AudioInput, TensorSpec
from edge.preprocess import Preprocessor, check_contract, contract_shape
from edge.sound import Features, check_sound, mel_filters, to_hz, to_mel, to_real, values_of, window_samples
from edge.windows import window_of

KEYWORDS: dict[str, Any] = {
    "sample_rate": 16000, "window": 49, "stride": 1, "win_length": 480, "hop_length": 320, "n_fft": 512, "n_mels": 40,
    "n_mfcc": 10, "f_min": 20.0, "f_max": 4000.0, "power": 1, "triangles": "mel", "level": "max", "dct_norm": "htk",
}  # fmt: skip
"""MLPerf Tiny's keyword spotting."""
LOG_MEL: dict[str, Any] = {
    "sample_rate": 8000, "window": 6, "stride": 2, "win_length": 200, "hop_length": 80, "n_fft": 256, "n_mels": 20,
    "f_max": 3800.0, "mel_scale": "slaney", "norm": "slaney", "log": "db", "log_offset": 1e-10, "preemphasis": 0.97,
    "window_fn": "hamming", "level": "absmax",
}  # fmt: skip


LIBROSA = LOG_MEL | {"n_mfcc": 12, "log_offset": 0.0, "log_floor": 1e-10, "top_db": 20.0, "window_fn": "hann"}


def audio(given: dict[str, Any], **more: Any) -> AudioInput:
    return AudioInput(**{**given, **more})


def chirp(samples: int) -> np.ndarray:
    """A tone that rises from 300 Hz by 2 kHz a second, in a hiss that is the same everywhere."""
    t = np.arange(samples, dtype=np.float64) / 16000
    hiss, state = np.empty(samples), 1
    for index in range(samples):
        state = (state * 1103515245 + 12345) % 2**31
        hiss[index] = state / 2**30 - 1
    return (0.5 * np.sin(2 * np.pi * (300 * t + 1000 * t * t)) + 0.05 * hiss).astype(np.float32)


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


# Of `chirp(15840)`, frames 0, 24 and 48. Source: computed with TensorFlow 2.21, tf.signal: stft(480, 320, hann_window),
# linear_to_mel_weight_matrix(40, 257, 16000, 20, 4000), log(x + 1e-6), mfccs_from_log_mel_spectrograms.
FROM_TENSORFLOW = {
    0: [8.7793, 0.3966, 1.2625, -0.3974, -2.3664, -3.9058, -3.2556, -1.4896, -0.1346, 1.0698],
    24: [6.464, -3.9817, -2.3575, 0.7393, 2.0395, -1.9323, -1.5645, 1.5085, 1.4306, -1.5804],
    48: [7.19, -4.3308, 0.113, 0.8031, -2.2412, 1.0727, -0.1272, -0.8014, 2.603, -0.5494],
}


def test_the_features_of_keyword_spotting_are_those_of_tensorflow() -> None:
    found = Features(audio(KEYWORDS)).of(chirp(15840))
    assert found.shape == (49, 10)
    for frame, expected in FROM_TENSORFLOW.items():
        assert found[frame] == pytest.approx(expected, abs=1e-4)


def plainly(contract: AudioInput, sound: np.ndarray) -> np.ndarray:
    """The definition, number by number, in no hurry."""
    x = sound.astype(np.float64)
    frames = [x[i * contract.hop_length :][: contract.win_length] for i in range(contract.window)]
    peak = max(float(np.abs(frame).max()) if contract.level == "absmax" else float(frame.max()) for frame in frames)
    scale = peak if contract.level != "none" else 1.0
    turn = np.exp(
        -2j * np.pi * np.outer(np.arange(contract.n_fft // 2 + 1), np.arange(contract.n_fft)) / contract.n_fft
    )
    shape = {"hann": 0.5, "hamming": 0.54, "ones": 1.0}[contract.window_fn]
    bands, out = [], []
    for frame in frames:
        before = np.concatenate([frame[:1], frame[:-1]])
        taper = [shape - (1 - shape) * math.cos(2 * math.pi * n / len(frame)) for n in range(len(frame))]
        tapered = (frame - contract.preemphasis * before) / scale * taper
        strength = np.abs(turn @ np.pad(tapered, (0, contract.n_fft - len(frame)))) ** contract.power
        logs = np.log(np.maximum(mel_filters(contract) @ strength + contract.log_offset, contract.log_floor))
        logs = logs if contract.log == "ln" else logs / math.log(10) * (10 if contract.log == "db" else 1)
        bands.append(logs)
    loudest = max(float(logs.max()) for logs in bands)
    for band in bands:
        logs = np.maximum(band, loudest - contract.top_db) if contract.top_db else band
        n = contract.n_mels
        row = []
        for k in range(contract.n_mfcc):
            total = sum(logs[i] * math.cos(math.pi / n * (i + 0.5) * k) for i in range(n))
            row.append(total * math.sqrt((1 if k == 0 and contract.dct_norm == "ortho" else 2) / n))
        out.append(row or logs)
    return np.array(out)


@pytest.mark.parametrize(
    "given", [KEYWORDS, LOG_MEL, LOG_MEL | {"n_mfcc": 12, "log": "log10", "level": "none"}, LIBROSA]
)
def test_the_arithmetic_is_the_definition(given: dict[str, Any]) -> None:
    contract = audio(given)
    sound = noise(window_samples(contract))
    assert Features(contract).of(sound) == pytest.approx(plainly(contract, sound), abs=1e-4)


@settings(max_examples=25, deadline=None)
@given(
    given=st.sampled_from([KEYWORDS | {"window": 5, "stride": 3}, LOG_MEL, LOG_MEL | {"n_mfcc": 7, "stride": 9}]),
    cuts=st.lists(st.integers(0, 900), max_size=12),
    seed=st.integers(0, 1000),
)
def test_features_are_the_same_bit_for_bit_however_the_sound_arrives(
    given: dict[str, Any], cuts: list[int], seed: int
) -> None:
    contract = audio(given)
    sound, size = noise(6000, seed), window_samples(contract)
    window, found, ends, at = window_of(contract), [], [], 0
    assert window is not None
    for cut in [*cuts, len(sound)]:
        piece = sound[at : at + cut, None]
        at += len(piece)
        for one in window.push(piece):
            found.append(one.copy())
            ends.append(at - round(window.late_ns * contract.sample_rate / 1e9))
    starts = range(0, len(sound) - size + 1, contract.stride * contract.hop_length)
    batch = Features(contract)
    assert [one.tobytes() for one in found] == [batch.of(sound[start : start + size]).tobytes() for start in starts]
    assert ends == [start + size for start in starts]


def test_after_a_gap_no_window_holds_sound_from_before() -> None:
    contract = audio(LOG_MEL)
    window = window_of(contract)
    assert window is not None
    size = window_samples(contract)
    assert list(window.push(noise(size - 1)[:, None])) == []
    window.clear()
    sound = noise(size, seed=1)
    assert [one.tobytes() for one in window.push(sound[:, None])] == [Features(contract).of(sound).tobytes()]


def test_a_model_that_takes_over_needs_no_new_window_of_sound() -> None:
    old, new = audio(LOG_MEL), audio(LOG_MEL, n_mels=12, n_mfcc=5)
    sound, size = noise(3000), window_samples(old)
    before = window_of(old)
    assert before is not None
    list(before.push(sound[:2000, None]))
    after = window_of(new, before=before)
    assert after is not None
    hop = new.stride * new.hop_length
    heard = [one.tobytes() for one in after.push(sound[2000 : 2000 + hop, None])]
    start = 2000 - size + hop
    assert heard == [Features(new).of(sound[start : start + size]).tobytes()]
    other_rate = window_of(audio(LOG_MEL, sample_rate=16000), before=before)
    assert other_rate is not None
    assert list(other_rate.push(sound[: size - 1, None])) == []


def test_a_source_of_two_channels_is_refused() -> None:
    window = window_of(audio(LOG_MEL))
    assert window is not None
    with pytest.raises(BadDataError, match="one value a row"):
        list(window.push(np.zeros((4, 2), np.float32)))


@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_mel_scales_invert_and_agree_with_their_books(scale: str) -> None:
    hz = np.array([0.0, 440.0, 999.0, 1000.0, 4000.0, 8000.0])
    assert to_hz(to_mel(hz, scale), scale) == pytest.approx(hz)
    assert to_mel(np.array([1000.0]), scale) == pytest.approx([{"htk": 999.99, "slaney": 15.0}[scale]], rel=1e-5)


def test_filters_overlap_by_half_and_never_count_the_constant_part() -> None:
    filters = mel_filters(audio(KEYWORDS))
    assert filters.shape == (40, 257)
    assert filters[:, 0].max() == 0
    inside = filters.sum(axis=0)[3:119]  # between the middles of the first and the last one
    assert inside == pytest.approx(np.ones_like(inside))


def test_every_normalized_filter_has_an_area_of_one_if_its_triangle_is_straight_in_hz() -> None:
    fine = {"n_fft": 8192, "win_length": 8192, "hop_length": 8192, "n_mels": 20}
    areas = {
        (triangles, norm): mel_filters(audio(LOG_MEL, **fine, triangles=triangles, norm=norm)).sum(axis=1) * 8000 / 8192
        for triangles, norm in (("hz", "slaney"), ("mel", "slaney"), ("hz", "none"))
    }
    assert areas["hz", "slaney"] == pytest.approx(np.ones(20), abs=1e-3)
    assert np.abs(areas["mel", "slaney"] - 1).max() > 5e-3  # straight in mel is not straight in Hz
    assert areas["hz", "none"][0] > 50  # half of a width of 200 Hz or so


def test_a_filter_between_two_bins_is_silent_and_breaks_nothing() -> None:
    contract = audio(LOG_MEL, n_mels=200, norm="none", level="none")
    assert (mel_filters(contract).sum(axis=1) == 0).any()
    assert np.isfinite(Features(contract).of(noise(window_samples(contract)))).all()


def test_silence_has_finite_features() -> None:
    contract = audio(KEYWORDS)
    assert np.isfinite(Features(contract).of(np.zeros(window_samples(contract), np.float32))).all()


def test_loudness_does_not_matter_where_the_level_is_evened_out() -> None:
    features, sound = Features(audio(KEYWORDS)), noise(15840)
    assert features.of(sound / 8) == pytest.approx(features.of(sound), abs=1e-5)


# --- through the preprocessor -----------------------------------------------------------------------

SHAPES = {
    "NTC": (6, 20), "NCT": (20, 6), "NF": (120,), "NTC1": (6, 20, 1), "N1TC": (1, 6, 20), "N1CT": (1, 20, 6),
}  # fmt: skip


@pytest.mark.parametrize("layout", SHAPES)
def test_samples_and_features_become_the_same_input_in_every_layout(layout: str) -> None:
    contract = audio(LOG_MEL, layout=layout, mean=tuple(range(20)), std=(2.0,))
    assert contract_shape(contract) == SHAPES[layout]
    preprocessor = Preprocessor(contract, TensorSpec(name="x", shape=(1, *SHAPES[layout]), dtype="float32"))
    codes = (noise(window_samples(contract)) * 32768).astype(np.int16)
    features = Features(contract).of(to_real(codes))
    expected = (features - np.arange(20)) / 2
    if layout in {"NCT", "N1CT"}:
        expected = expected.T
    for data in (codes, to_real(codes), to_real(codes)[:, None], features):
        assert preprocessor.real(data) == pytest.approx(expected.reshape(SHAPES[layout]), abs=1e-4)


def test_an_integer_model_gets_codes() -> None:
    spec = TensorSpec(name="x", shape=(1, 49, 10, 1), dtype="int8", scale=0.5, zero_point=83)
    contract = audio(KEYWORDS, layout="NTC1")
    out = np.zeros(spec.shape, np.int8)
    Preprocessor(contract, spec).into(chirp(15840), out)
    assert out[0, 0, :2, 0].tolist() == [round(8.7793 / 0.5) + 83, round(0.3966 / 0.5) + 83]


def test_what_is_no_window_of_sound_is_refused() -> None:
    contract = audio(LOG_MEL)
    preprocessor = Preprocessor(contract, TensorSpec(name="x", shape=(1, 6, 20), dtype="float32"))
    with pytest.raises(BadDataError, match="the samples of one window"):
        preprocessor.real(np.zeros(window_samples(contract) + 1, np.float32))
    with pytest.raises(BadDataError, match="NaN"):
        preprocessor.real(np.full(window_samples(contract), np.nan, np.float32))


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "short transform": ({"n_fft": 199}, "n_fft"),
    "skips sound": ({"hop_length": 201}, "hop_length"),
    "beyond nyquist": ({"f_max": 4001.0}, "f_min < f_max"),
    "upside down": ({"f_min": 3900.0}, "f_min < f_max"),
    "too many": ({"n_mfcc": 21}, "n_mfcc"),
    "no logarithm": ({"log_offset": 0.0}, "log_offset"),
    "negative": ({"log_floor": -1.0}, "negative"),
    "no decibels": ({"log": "ln", "top_db": 80.0}, "top_db belongs to db"),
    "no number": ({"preemphasis": math.nan}, "finite"),
    "endless": ({"window": 16384, "win_length": 16384, "hop_length": 1, "n_fft": 16384}, "hold more than"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_contract_that_contradicts_itself_is_refused(case: str) -> None:
    more, problem = WRONG[case]
    with pytest.raises(BadInputContractError, match=problem):
        check_sound(audio(LOG_MEL, **more))


def test_a_contract_for_another_model_is_refused() -> None:
    contract = audio(LOG_MEL)
    with pytest.raises(BadInputContractError, match="makes 6 x 20"):
        check_contract(contract, TensorSpec(name="x", shape=(1, 6, 10), dtype="float32"))
    three = audio(LOG_MEL, mean=(1.0, 2.0, 3.0))
    with pytest.raises(BadInputContractError, match=f"the input has {values_of(three)} channels"):
        check_contract(three, TensorSpec(name="x", shape=(1, 6, 20), dtype="float32"))
