"""Labelled sound as the samples of an audio contract: clips cut into windows, each window's features made once."""

from dataclasses import replace

import numpy as np

from compiler.dataset import Array, Data
from compiler.remember import remembered
from edge.errors import BadDataError
from edge.manifest import AudioInput
from edge.preprocess import contract_shape
from edge.sound import Features, to_real, values_of, window_samples


def cut_sound(data: Data, contract: AudioInput) -> Data:
    """Give features [window, values] for every window of every clip.

    A clip shorter than a window is filled with silence at its end; a longer one gives all whole windows in it, one
    after the other, which share its digest, so that they are never split apart.

    Raises: BadDataError if the clips have another sample rate.
    """
    if data.sample_rate != contract.sample_rate:
        raise BadDataError(
            f"{data.path} is sampled at {data.sample_rate} Hz, the input contract says {contract.sample_rate} Hz",
            remedy=f"convert the files first, for example with: sox IN.wav -r {contract.sample_rate} OUT.wav",
        )
    size = window_samples(contract)
    windows = [
        (clip, start) for clip, length in enumerate(data.lengths) for start in range(0, max(length - size, 0) + 1, size)
    ]
    features = Features(contract)

    def read(index: int) -> Array:
        clip, start = windows[index]
        sound = to_real(data.read(clip)[start : start + size])
        return features.of(np.pad(sound, (0, size - len(sound))))

    return replace(
        data,
        kind="arrays",
        tags=tuple(data.tags[clip] for clip, _ in windows),
        digests=tuple(data.digests[clip] for clip, _ in windows),
        where=tuple(data.where[clip] if not start else f"{data.where[clip]} from {start}" for clip, start in windows),
        targets=None if data.targets is None else data.targets[[clip for clip, _ in windows]],
        shape=(contract.window, values_of(contract)),
        read=remembered(read),
        lengths=(),
    )


def take_features(data: Data, contract: AudioInput) -> Data:
    """Take arrays of the model's own shape for features that were made in training, before mean and std."""
    made = contract_shape(contract)
    if data.shape != made:
        raise BadDataError(
            f"{data.path}: a sample has the shape {data.shape}, the audio contract makes {made}",
            remedy="give .wav files, or features in the model's shape",
        )
    rows, values = contract.window, values_of(contract)

    def turn(sample: Array) -> Array:
        return sample.reshape(values, rows).T if contract.layout in {"NCT", "N1CT"} else sample.reshape(rows, values)

    def read(index: int) -> Array:
        found = data.read(index).astype(np.float32)
        return np.stack([turn(step) for step in found]) if data.steps else turn(found)

    return replace(data, shape=(rows, values), read=read)
