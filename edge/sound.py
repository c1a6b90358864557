"""Sound to log-mel or MFCC, as an `AudioInput` says: the one place where it is done, on workstation and device alike.

A frame becomes a row of mel energies by itself, whatever lies beside it, so rows that are made one by one as sound
arrives equal those of a whole clip bit for bit. `finish` then turns the rows of one window into the model's values.
"""

import numpy as np
from numpy.typing import NDArray

from edge.errors import BadInputContractError
from edge.manifest import AudioInput

Real = NDArray[np.float32]
Wide = NDArray[np.float64]

MAX_SAMPLES = 1 << 24
"""In all frames of one input, which overlap: five minutes in frames of 30 ms every 10 ms at 16 kHz."""
FULL_SCALE = 32768
"""Of 16-bit samples: they become -1 to 1."""


def window_samples(contract: AudioInput) -> int:
    """How many samples one input is made of."""
    return contract.win_length + (contract.window - 1) * contract.hop_length


def values_of(contract: AudioInput) -> int:
    """How many values a frame has."""
    return contract.n_mfcc or contract.n_mels


def check_sound(contract: AudioInput) -> None:
    """Raise `BadInputContractError` where numbers of the contract contradict each other."""
    numbers = (
        contract.f_min,
        contract.f_max,
        contract.preemphasis,
        contract.log_offset,
        contract.log_floor,
        contract.top_db,
    )
    for wrong, what in (
        (not np.isfinite(numbers).all(), "f_min, f_max, preemphasis, log_offset, log_floor and top_db must be finite"),
        (contract.n_fft < contract.win_length, "n_fft is shorter than win_length"),
        (contract.hop_length > contract.win_length, "hop_length is longer than win_length: sound would be skipped"),
        (
            not 0 <= contract.f_min < contract.f_max <= contract.sample_rate / 2,
            "wanted is 0 <= f_min < f_max <= rate / 2",
        ),
        (contract.n_mfcc > contract.n_mels, "n_mfcc is more than n_mels"),
        (
            min(contract.log_offset, contract.log_floor, contract.top_db) < 0,
            "log_offset, log_floor or top_db is negative",
        ),
        (
            contract.log_offset + contract.log_floor <= 0,
            "log_offset or log_floor must be positive: silence has no logarithm",
        ),
        (contract.top_db > 0 and contract.log != "db", "top_db belongs to db"),
        (contract.window * contract.win_length > MAX_SAMPLES, f"its frames hold more than {MAX_SAMPLES} samples"),
    ):
        if wrong:
            raise BadInputContractError(f"the audio contract is wrong: {what}", remedy="correct it in the input file")


def to_real(samples: NDArray[np.generic]) -> Real:
    """Samples [n] or [n, 1] as float32 [n]; 16-bit ones become -1 to 1."""
    flat = samples.reshape(-1).astype(np.float32)
    return flat / np.float32(FULL_SCALE) if samples.dtype == np.int16 else flat


class Features:
    """The arithmetic of one contract, prepared."""

    def __init__(self, contract: AudioInput) -> None:
        """Make window, filters and DCT; raises `BadInputContractError`."""
        check_sound(contract)
        self._contract = contract
        self._taper = _taper(contract)
        self._bins, self._weights, self._starts = _sparse(mel_filters(contract))
        self._dct = dct(contract)
        self.row_values = contract.n_mels + 1

    def rows(self, samples: Real) -> Real:
        """Every whole frame of `samples` [n] as a row: `n_mels` energies, and the largest sample for `level`.

        Returns [frames, n_mels + 1]. Products and sums are of float64, in an order that depends on the frame alone.
        """
        contract = self._contract
        if len(samples) < contract.win_length:
            return np.empty((0, self.row_values), np.float32)
        frames = np.lib.stride_tricks.sliding_window_view(samples, contract.win_length)[:: contract.hop_length]
        sound = frames.astype(np.float64)
        peaks = np.abs(frames).max(axis=1) if contract.level == "absmax" else frames.max(axis=1)
        if contract.preemphasis:
            sound -= contract.preemphasis * np.concatenate([sound[:, :1], sound[:, :-1]], axis=1)
        spectrum = np.fft.rfft(sound * self._taper, contract.n_fft, axis=1)
        strength = spectrum.real**2 + spectrum.imag**2
        if contract.power == 1:
            strength = np.sqrt(strength)
        energies = np.add.reduceat(strength[:, self._bins] * self._weights, self._starts, axis=1)
        return np.concatenate([energies, peaks[:, None]], axis=1, dtype=np.float32)

    def finish(self, rows: Real) -> Real:
        """Make one window's values of its rows: [window, n_mels + 1] to [window, values of a frame]."""
        contract = self._contract
        energies = rows[:, :-1].astype(np.float64)
        peak = float(rows[:, -1].max())
        if contract.level != "none" and peak > 0:
            energies /= peak**contract.power
        logs = np.log(np.maximum(energies + contract.log_offset, contract.log_floor))
        if contract.log != "ln":
            logs *= (10 if contract.log == "db" else 1) / np.log(10)
        if contract.top_db:
            logs = np.maximum(logs, logs.max() - contract.top_db)
        values: Real = (logs @ self._dct if self._dct is not None else logs).astype(np.float32)
        return values

    def of(self, samples: Real) -> Real:
        """Of one window's samples [window_samples], at once: [window, values of a frame]."""
        return self.finish(self.rows(samples))


def _taper(contract: AudioInput) -> Wide:
    """The periodic window. Source: Harris, On the use of windows, Proc. IEEE 66 (1978), eq. 27b and 30."""
    cosine = np.cos(2 * np.pi * np.arange(contract.win_length) / contract.win_length)
    constant = {"hann": 0.5, "hamming": 0.54, "ones": 1.0}[contract.window_fn]
    taper: Wide = constant - (1 - constant) * cosine
    return taper


def to_mel(hz: Wide, scale: str) -> Wide:
    """Hz to mel.

    Source: htk, The HTK Book 3.4, eq. 5.13; slaney, Slaney's Auditory Toolbox (1998): linear to 1 kHz, then
    logarithmic, 27 steps to a factor of 6.4.
    """
    if scale == "htk":
        mel: Wide = 2595 * np.log10(1 + hz / 700)
        return mel
    return np.where(hz < 1000, hz * 3 / 200, 15 + 27 * np.log(np.maximum(hz, 1000) / 1000) / np.log(6.4))


def to_hz(mel: Wide, scale: str) -> Wide:
    """Mel to Hz, the inverse of `to_mel`."""
    if scale == "htk":
        hz: Wide = 700 * (10 ** (mel / 2595) - 1)
        return hz
    return np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))


def mel_filters(contract: AudioInput) -> Wide:
    """Triangles that overlap by half, equally wide in mel: [n_mels, n_fft // 2 + 1]; the constant part counts nowhere.

    Source: Davis and Mermelstein, IEEE Trans. ASSP 28 (1980); `triangles` says what the packages made of it.
    """
    scale = contract.mel_scale
    bins_hz = np.arange(contract.n_fft // 2 + 1) * (contract.sample_rate / contract.n_fft)
    low, high = to_mel(np.array([contract.f_min, contract.f_max]), scale)
    edges_mel = np.linspace(low, high, contract.n_mels + 2)
    edges_hz = to_hz(edges_mel, scale)
    edges, bins = (edges_mel, to_mel(bins_hz, scale)) if contract.triangles == "mel" else (edges_hz, bins_hz)
    left, middle, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    filters: Wide = np.maximum(0, np.minimum((bins - left) / (middle - left), (right - bins) / (right - middle)))
    filters[:, 0] = 0
    if contract.norm == "slaney":
        filters *= 2 / (edges_hz[2:] - edges_hz[:-2])[:, None]
    return filters


def dct(contract: AudioInput) -> Wide | None:
    """DCT-II as a matrix [n_mels, n_mfcc]; None for log-mel. Source: HTK Book 3.4, eq. 5.14; ortho: Makhoul (1980)."""
    if not contract.n_mfcc:
        return None
    n = contract.n_mels
    at, of = np.arange(n)[:, None], np.arange(contract.n_mfcc)[None, :]
    matrix: Wide = np.sqrt(2 / n) * np.cos(np.pi / n * (at + 0.5) * of)
    if contract.dct_norm == "ortho":
        matrix[:, 0] *= np.sqrt(0.5)
    return matrix


def _sparse(filters: Wide) -> tuple[NDArray[np.intp], Wide, NDArray[np.intp]]:
    """Only the bins that count: which, their weights, and where each filter begins.

    A product of matrices would add in an order that depends on how many frames there are. A filter between two bins
    counts bin 0, with the weight 0 that it has there.
    """
    bins = [np.flatnonzero(row) if row.any() else np.zeros(1, np.intp) for row in filters]
    starts = np.cumsum([0, *(len(one) for one in bins[:-1])])
    which = np.concatenate(bins)
    weights = np.concatenate([row[one] for row, one in zip(filters, bins, strict=True)])
    return which, weights, starts
