"""Procedural walls, shelves, woods and cloths to hold a sign in front of.

Training and test backgrounds share no seed, and some patterns are kept for the test alone.
"""

import numpy as np
from numpy.typing import NDArray

from demos.stop_go.photos import Split

SIZE = 128
PATTERNS = {
    "train": ("plain", "clouds", "boards", "bricks", "shelves", "awning", "patches", "tartan"),
    "test": ("plain", "clouds", "boards", "shelves", "checks", "tiles"),
}


def make_backgrounds(split: Split, count: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Make `count` textures: uint8 [count, SIZE, SIZE, 3], BGR."""
    names = PATTERNS[split]
    return np.stack([_texture(names[index % len(names)], rng) for index in range(count)])


def _texture(pattern: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    """One texture: two muted colours mixed by a pattern, a gradient of light, fine grain."""
    mix = _PATTERNS[pattern](rng)
    first, second = _muted(rng), _muted(rng)
    mixed = first + (second - first) * mix[..., None]
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE - 0.5
    mixed *= (1 + rng.uniform(0, 0.5) * (np.cos(angle) * x + np.sin(angle) * y))[..., None]
    mixed += rng.normal(0, rng.uniform(0.5, 5), (SIZE, SIZE, 1))
    return np.clip(mixed, 0, 255).astype(np.uint8)


def _muted(rng: np.random.Generator) -> NDArray[np.float64]:
    """A colour as rooms have them: any hue, mostly little of it. B, G, R in 0..255."""
    value, chroma = rng.uniform(30, 235), rng.beta(1.2, 4) * 130
    hue = rng.normal(0, 1, 3)
    hue -= hue.mean()
    colour: NDArray[np.float64] = np.clip(value + chroma * hue / (np.abs(hue).max() + 1e-9) * 0.6, 5, 250)
    return colour


def _clouds(rng: np.random.Generator) -> NDArray[np.float64]:
    """Smooth noise of three octaves, 0..1."""
    import cv2

    total = np.zeros((SIZE, SIZE))
    for cells, weight in ((3, 1.0), (8, 0.5), (24, 0.25)):
        coarse = rng.uniform(0, 1, (cells, cells))
        total += weight * cv2.resize(coarse, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    clouds: NDArray[np.float64] = (total - total.min()) / (np.ptp(total) + 1e-9)
    return clouds


def _plain(rng: np.random.Generator) -> NDArray[np.float64]:
    return 0.15 * _clouds(rng)


def _stripes(rng: np.random.Generator, *, period: tuple[float, float], line: float, lean: float) -> NDArray[np.float64]:
    """Lines of width share `line`, at most `lean` radians off the vertical, on clouds."""
    angle = rng.uniform(-lean, lean) + rng.choice([0, np.pi / 2])
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    phase = ((np.cos(angle) * x + np.sin(angle) * y) / rng.uniform(*period)) % 1
    return np.where(phase < line, 1.0, 0.25 * _clouds(rng))


def _boards(rng: np.random.Generator) -> NDArray[np.float64]:
    return _stripes(rng, period=(14, 40), line=0.1, lean=0.2)


def _awning(rng: np.random.Generator) -> NDArray[np.float64]:
    return _stripes(rng, period=(8, 30), line=rng.uniform(0.3, 0.6), lean=0.7)


def _patches(rng: np.random.Generator) -> NDArray[np.float64]:
    """Straight-edged pieces of a few shades, as of paper or cloth, laid over each other."""
    mix = np.full((SIZE, SIZE), rng.uniform(0, 1))
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    for _ in range(int(rng.integers(5, 30))):
        angle, (middle_x, middle_y) = rng.uniform(0, np.pi), rng.uniform(0, 1, 2)
        along = np.cos(angle) * (x - middle_x) + np.sin(angle) * (y - middle_y)
        across = np.cos(angle) * (y - middle_y) - np.sin(angle) * (x - middle_x)
        mix[(np.abs(along) < rng.uniform(0.03, 0.3)) & (np.abs(across) < rng.uniform(0.03, 0.3))] = rng.uniform(0, 1)
    return mix


def _tartan(rng: np.random.Generator) -> NDArray[np.float64]:
    """Two crossing families of stripes, each as wide as it likes."""
    first = _stripes(rng, period=(8, 40), line=rng.uniform(0.1, 0.6), lean=0.5)
    second = _stripes(rng, period=(8, 40), line=rng.uniform(0.1, 0.6), lean=0.5)
    return (first + second) / 2 if rng.uniform() < 0.5 else np.maximum(first, second)


def _tiles(rng: np.random.Generator) -> NDArray[np.float64]:
    """Six-sided look: three families of thin lines."""
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    period = rng.uniform(14, 30)
    lines = [((np.cos(a) * x + np.sin(a) * y) / period) % 1 < 0.12 for a in (0.0, np.pi / 3, 2 * np.pi / 3)]
    return np.where(np.any(lines, axis=0), 1.0, 0.3 * _clouds(rng))


def _checks(rng: np.random.Generator) -> NDArray[np.float64]:
    size = rng.uniform(10, 30)
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    pattern: NDArray[np.float64] = 0.8 * ((x // size + y // size) % 2) + 0.2 * _clouds(rng)
    return pattern


def _bricks(rng: np.random.Generator) -> NDArray[np.float64]:
    height, width = rng.uniform(8, 18), rng.uniform(20, 44)
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    shifted = x + (y // height % 2) * width / 2
    mortar = (y % height < 2) | (shifted % width < 2)
    return np.where(mortar, 1.0, 0.4 * _clouds(rng))


def _shelves(rng: np.random.Generator) -> NDArray[np.float64]:
    """Books: upright blocks of random shades on boards."""
    mix = np.zeros((SIZE, SIZE))
    row = 0
    while row < SIZE:
        height, left = int(rng.integers(25, 50)), 0
        while left < SIZE:
            width = int(rng.integers(4, 18))
            mix[row : row + height, left : left + width] = rng.uniform(0, 1)
            left += width
        mix[row : row + 2] = 1.0
        row += height
    return mix


_PATTERNS = {
    "plain": _plain,
    "clouds": _clouds,
    "boards": _boards,
    "bricks": _bricks,
    "shelves": _shelves,
    "checks": _checks,
    "awning": _awning,
    "patches": _patches,
    "tartan": _tartan,
    "tiles": _tiles,
}
