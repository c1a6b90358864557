"""Data for the benchmark's own networks: photographs of traffic lights, generated words, generated series."""

import numpy as np
from numpy.typing import NDArray

from demos.stop_go.photos import Split, load_photos

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]
WORDS, FRAMES, FEATURES = 10, 49, 10
SIDE = 96
COLUMNS, ROWS = 8, 64


def make_words(count: int, seed: int) -> tuple[Floats, Numbers]:
    """Draw `count` spoken words: x [count, FRAMES, FEATURES], y in 0..WORDS-1.

    A word is three tracks that bend through the features, as formants do; each speaker bends, shifts, stretches and
    loudens them in his own way, with noise over it.
    """
    templates = np.random.default_rng(1999).uniform(0, FEATURES - 1, (WORDS, 3, 4))
    rng = np.random.default_rng([seed, 7])
    y = rng.integers(0, WORDS, count)
    places = np.arange(FEATURES)
    x = np.empty((count, FRAMES, FEATURES), np.float32)
    for row, word in enumerate(y):
        tracks = templates[word] + rng.normal(0, 0.55, (3, 4))
        start, length = rng.integers(0, 14), rng.integers(26, 36)
        at = np.clip((np.arange(FRAMES) - start) / length, -0.2, 1.2)
        loud = np.where((at >= 0) & (at <= 1), np.sin(np.pi * np.clip(at, 0, 1)) ** 0.5, 0) * rng.uniform(0.6, 1.6)
        energy = np.zeros((FRAMES, FEATURES))
        for track in tracks:
            middle = np.interp(np.clip(at, 0, 1), np.linspace(0, 1, 4), track)
            energy += np.exp(-((places - middle[:, None]) ** 2) / 1.4)
        x[row] = loud[:, None] * energy + rng.normal(0, 0.35, (FRAMES, FEATURES))
    return x, y.astype(np.int64)


def make_lights(split: Split, count: int, seed: int) -> tuple[Floats, Numbers]:
    """Show photographs of red (0) and green (1) lights: x [count, 3, SIDE, SIDE], R, G, B in 0..1.

    Each is cut, mirrored and lit a little differently every time; yellow is left out, there are a dozen photographs.
    """
    import cv2

    rng = np.random.default_rng([seed, 9])
    kinds = [[p.pixels for p in load_photos(split) if p.colour == colour] for colour in ("red", "green")]
    y = rng.integers(0, 2, count)
    x = np.empty((count, 3, SIDE, SIDE), np.float32)
    for row, kind in enumerate(y):
        photo = kinds[kind][int(rng.integers(len(kinds[kind])))]
        height, width = photo.shape[:2]
        top, left = rng.uniform(0, 0.12, 2) * (height, width)
        bottom, right = (height, width) - rng.uniform(0, 0.12, 2) * (height, width)
        cut = photo[int(top) : int(np.ceil(bottom)), int(left) : int(np.ceil(right))]
        picture = cv2.resize(cut, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)[..., ::-1]
        picture = picture[:, ::-1] if rng.uniform() < 0.5 else picture
        lit = picture / 255.0 * rng.uniform(0.5, 1.2) + rng.normal(0, 0.02, picture.shape)
        x[row] = np.clip(lit, 0, 1).transpose(2, 0, 1)
    return x, y.astype(np.int64)


def make_series(count: int, seed: int, *, anomalies: float) -> tuple[Floats, Numbers]:
    """Draw windows of a pump with eight sensors: x [count, COLUMNS, ROWS], y 1 for a sticking valve.

    Slow tides of pressure and flow, coupled as in a loop of pipes; a sticking valve freezes one and lifts another.
    """
    rng = np.random.default_rng([seed, 11])
    coupling = np.random.default_rng(5).normal(0, 1, (COLUMNS, 3))
    y = (rng.uniform(size=count) < anomalies).astype(np.int64)
    x = np.empty((count, COLUMNS, ROWS), np.float32)
    time = np.arange(ROWS)
    for row, bad in enumerate(y):
        phases, periods = rng.uniform(0, 2 * np.pi, 3), np.array([23.0, 41.0, 67.0]) * rng.uniform(0.9, 1.1, 3)
        tides = np.sin(2 * np.pi * time / periods[:, None] + phases[:, None])
        window = coupling @ tides + rng.normal(0, 0.15, (COLUMNS, ROWS))
        if bad:
            begin, stuck, lifted = int(rng.integers(8, 32)), *rng.choice(COLUMNS, 2, replace=False)
            window[stuck, begin:] = window[stuck, begin] + rng.normal(0, 0.03, ROWS - begin)
            window[lifted, begin:] += rng.uniform(0.6, 1.6)
        x[row] = window
    return x, y
