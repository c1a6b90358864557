"""Relight a picture as a room's light would: dim, warm or cold, cast, glare, blur, sensor noise, gamma.

Light adds up linearly, so everything but the last step happens in linear values 0..1; the camera then encodes them.
Deterministic: the same generator state gives the same bytes. Struct of arrays, because thousands are lit at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
GAMMA = 2.2
_STEPS = 4096  # of the encoding table: 12 bits, as a sensor's converter has
_SHOT_NOISE = 0.01  # share of full scale, at full scale: a small sensor
_NO_BLUR = 0.3  # pixels of sigma below which nothing changes
_NO_GLARE = 0.001  # linear
_WAVELENGTHS_UM = np.array([0.465, 0.55, 0.61])  # where blue, green and red pixels see most; B, G, R like OpenCV
_RADIATION_UM_K = 14387.8  # h c / k, second radiation constant (CODATA 2018)
_DECODE = ((np.arange(256) / 255.0) ** GAMMA).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Phase:
    """One light of the room; each pair is a range to draw from, evenly."""

    name: str
    gain: tuple[float, float]
    """Factor on linear light; drawn evenly in its logarithm."""
    kelvin: tuple[float, float]
    cast: float
    """Largest coloured reflection, as a share of each channel."""
    glare: float
    """Largest brightness that a reflection adds, as a share of what the light makes of white."""
    blur: tuple[float, float]
    """Sigma in pixels."""
    noise: tuple[float, float]
    """Standard deviation of the sensor in the dark, linear."""
    gamma: tuple[float, float] = (2.1, 2.3)


DAYLIGHT = Phase("daylight", (0.75, 1.2), (5500, 7500), 0.03, 0.15, (0.0, 0.5), (0.0005, 0.0015))
DUSK = Phase("dusk", (0.05, 0.12), (6500, 9000), 0.08, 0.1, (0.2, 0.7), (0.001, 0.0025))
LAMP = Phase("lamp", (0.08, 0.3), (2500, 3000), 0.1, 0.3, (0.0, 0.6), (0.001, 0.0025))
PHASES = (DAYLIGHT, DUSK, LAMP)
ANY_LIGHT = Phase("any", (0.02, 1.4), (2400, 9500), 0.12, 0.4, (0.0, 0.8), (0.0005, 0.004), (2.0, 2.4))
"""Wider than all of the room's: only for training."""


@dataclass(frozen=True, slots=True)
class Lights:
    """The light of n pictures: one row each."""

    colour: Floats  # [n, 3], factor for B, G, R: gain, temperature and cast in one
    glare: Floats  # [n, 4]: brightness, centre x, centre y, radius; the latter as shares of the picture
    blur: Floats  # [n]
    noise: Floats  # [n]
    gamma: Floats  # [n]

    def repeat(self, times: int) -> "Lights":
        """Repeat every row, for the frames of one scene."""
        columns = (self.colour, self.glare, self.blur, self.noise, self.gamma)
        return Lights(*(np.repeat(column, times, axis=0) for column in columns))


def draw_lights(phase: Phase, count: int, rng: np.random.Generator) -> Lights:
    """Draw `count` lights of one phase."""
    low, high = np.log(phase.gain)
    gain = np.exp(rng.uniform(low, high, count))
    kelvin = rng.uniform(*phase.kelvin, count)
    cast = 1 + rng.uniform(-phase.cast, phase.cast, (count, 3))
    glare = np.stack(
        [
            rng.uniform(0, 1, count) ** 3 * phase.glare * gain,  # strong reflections are rare
            rng.uniform(0, 1, count),
            rng.uniform(0, 1, count),
            rng.uniform(0.1, 0.4, count),
        ],
        axis=1,
    )
    columns = (
        gain[:, None] * temperature_bgr(kelvin) * cast,
        glare,
        rng.uniform(*phase.blur, count),
        rng.uniform(*phase.noise, count),
        rng.uniform(*phase.gamma, count),
    )
    return Lights(*(column.astype(np.float32) for column in columns))


def temperature_bgr(kelvin: NDArray[np.float64]) -> NDArray[np.float64]:
    """Factors [n, 3] on B, G, R of light at `kelvin` [n], against 6500 K, green fixed at 1.

    The camera's own white balance takes back half of it, as cameras do. Source: Planck's law in Wien's approximation.
    """
    exponent = _RADIATION_UM_K / _WAVELENGTHS_UM * (1 / 6500.0 - 1 / kelvin[:, None])
    factors: NDArray[np.float64] = np.exp((exponent - exponent[:, 1:2]) / 2)
    return factors


def relight(pictures: NDArray[np.uint8], lights: Lights, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Light `pictures` [n, h, w, 3] with one light each; returns the same shape."""
    lit = np.empty_like(pictures)
    pool = rng.standard_normal(
        pictures[:1].size * 8, dtype=np.float32
    )  # one pool of noise; each starts elsewhere in it
    starts = rng.integers(0, pool.size - pictures[:1].size, len(pictures))
    encoders = {gamma: _encoder(gamma) for gamma in set(_rounded(lights.gamma))}
    glares = _glare(lights.glare, *pictures.shape[1:3])
    rows = zip(pictures, lights.colour, glares, lights.blur, lights.noise, _rounded(lights.gamma), starts, strict=True)
    for index, (picture, colour, glare, blur, noise, gamma, start) in enumerate(rows):
        grain = pool[start : start + picture.size].reshape(picture.shape)
        linear = _expose(picture, colour, glare, blur, noise, grain)
        lit[index] = encoders[gamma][np.clip(linear * (_STEPS - 1), 0, _STEPS - 1).astype(np.int16)]
    return lit


def _expose(
    picture: NDArray[np.uint8], colour: Floats, glare: Floats | None, blur: float, noise: float, grain: Floats
) -> Floats:
    """What the sensor sees of one picture, linear; full scale is 1."""
    import cv2

    light = _DECODE[:, None] * colour  # [256, 3]: for every code of every channel
    linear: Floats = cv2.LUT(picture, light[None])
    if glare is not None:
        linear += glare[..., None]
    if blur > _NO_BLUR:
        linear = cv2.GaussianBlur(linear, (5, 5), float(blur))
    # shot noise grows with the root of the light
    deviation = cv2.LUT(picture, (noise + _SHOT_NOISE * np.sqrt(light))[None].astype(np.float32))
    linear += grain * deviation
    return linear


def _glare(glare: Floats, height: int, width: int) -> Iterator[Floats | None]:
    """Soft round reflections [h, w], one after the other; None where nobody would see it."""
    across = np.arange(width, dtype=np.float32) / width
    down = np.arange(height, dtype=np.float32) / height
    for brightness, x, y, radius in glare:
        if brightness < _NO_GLARE:
            yield None
        else:
            column = brightness * np.exp(-(((down - y) / radius) ** 2))
            yield np.outer(column, np.exp(-(((across - x) / radius) ** 2))).astype(np.float32)


def _rounded(gammas: Floats) -> list[float]:
    return [round(float(gamma), 2) for gamma in gammas]


def _encoder(gamma: float) -> NDArray[np.uint8]:
    """Table from _STEPS linear steps to uint8."""
    ramp = np.arange(_STEPS) / (_STEPS - 1)
    table: NDArray[np.uint8] = np.rint(255 * ramp ** (1 / gamma)).astype(np.uint8)
    return table
