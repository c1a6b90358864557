"""What each device's camera sees: daylight, dusk, lamp, over and over; a light stays red for a while, then turns green.

A stream is made once and played by the agent's `frames` source: pictures in one .npy file, the truth in another.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from demos.stop_go.light import PHASES, Lights, draw_lights, relight
from demos.stop_go.scenes import LABELS, Picture, Props, cut_frames, make_scene

BAG = (0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 1, 3)
"""What is held up, drawn like cards from a bag of each light, never the same twice in a row; indices into LABELS."""
SHARES = tuple(BAG.count(label) / len(BAG) for label in range(len(LABELS)))
SCENE_S = (0.55, 0.75)
"""Short, so that a figure rests on many scenes: frames of one scene are nearly copies of each other."""


@dataclass(frozen=True, slots=True)
class Stream:
    """n frames in order. Frame number f of the camera (from 1) is row (f - 1) % n."""

    pictures: Picture  # [n, FRAME, FRAME, 3], B, G, R
    labels: NDArray[np.int8]  # [n], into LABELS
    phases: NDArray[np.int8]  # [n], into PHASES


@dataclass(frozen=True, slots=True)
class Shake:
    """How unsteady hand and light are, as standard deviations within one scene."""

    place: float = 0.8
    """Pixels; a scene as a whole is out of place by twice as much."""
    angle: float = 0.015
    """Radians."""
    zoom: float = 0.01
    flicker: float = 0.04
    """Share of the light's brightness."""


def make_stream(
    props: Props, rng: np.random.Generator, *, fps: float, phase_s: float, cycles: int, shake: Shake | None = None
) -> Stream:
    """Make `cycles` rounds through all lights of the room, `phase_s` seconds in each."""
    shake = shake or Shake()
    pictures, labels, phases = [], [], []
    bags: tuple[list[int], ...] = tuple([] for _ in PHASES)
    last = -1
    for _ in range(cycles):
        for phase_index, phase in enumerate(PHASES):
            for count in _scene_lengths(fps, phase_s, rng):
                last = _draw(bags[phase_index], last, rng)
                light = _flickering(draw_lights(phase, 1, rng).repeat(count), shake, rng)
                frames = cut_frames(make_scene(LABELS[last], props, rng), _shifts(count, shake, rng))
                pictures.append(relight(frames, light, rng))
                labels.append(np.full(count, last, np.int8))
                phases.append(np.full(count, phase_index, np.int8))
    return Stream(np.concatenate(pictures), np.concatenate(labels), np.concatenate(phases))


def make_snapshots(
    props: Props, rng: np.random.Generator, count: int, *, phases: tuple[int, ...] = (0, 1, 2)
) -> Stream:
    """One picture of each of `count` scenes, in the same shares as a stream's, in the given lights, all alike often."""
    shake = Shake()
    labels = rng.choice(len(LABELS), count, p=SHARES).astype(np.int8)
    which = np.resize(np.array(phases, np.int8), count)
    pictures = np.concatenate(
        [cut_frames(make_scene(LABELS[label], props, rng), _shifts(1, shake, rng)) for label in labels]
    )
    lit = np.empty_like(pictures)
    for index in phases:
        rows = which == index
        light = _flickering(draw_lights(PHASES[index], int(rows.sum()), rng), shake, rng)
        lit[rows] = relight(pictures[rows], light, rng)
    return Stream(lit, labels, which)


def save_stream(stream: Stream, folder: Path) -> None:
    """Write frames.npy and truth.npy (rows of label, phase) into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "frames.npy", stream.pictures)
    np.save(folder / "truth.npy", np.stack([stream.labels, stream.phases], axis=1))


def save_samples(stream: Stream, path: Path) -> Path:
    """Write labelled samples as the compiler reads them: x in R, G, B order, y as numbers."""
    np.savez(path, x=stream.pictures[..., ::-1], y=stream.labels.astype(np.int64))
    return path


def _scene_lengths(fps: float, phase_s: float, rng: np.random.Generator) -> list[int]:
    """Frames of each scene of one phase: about SCENE_S each, filling the phase exactly."""
    scenes = max(1, round(phase_s / float(np.mean(SCENE_S))))
    weights = rng.uniform(*SCENE_S, scenes)
    ends = np.rint(np.cumsum(weights) / weights.sum() * phase_s * fps).astype(int)
    return [int(count) for count in np.diff(ends, prepend=0)]


def _draw(bag: list[int], last: int, rng: np.random.Generator) -> int:
    """Take from the bag what differs from `last`; an empty bag, or one with nothing else in it, is filled anew."""
    if not any(label != last for label in bag):
        bag[:] = rng.permutation(BAG).tolist()
    at = next(index for index, label in enumerate(bag) if label != last)
    return bag.pop(at)


def _shifts(count: int, shake: Shake, rng: np.random.Generator) -> NDArray[np.float64]:
    """Place of the camera for each frame of a scene, as `cut_frames` takes it: somewhere, and a hand's slow sway."""
    scales = np.array([shake.place, shake.place, shake.angle, shake.zoom])
    around = rng.normal(0, 2 * scales)
    sway = _sway(count, 4, rng) * scales
    shifts: NDArray[np.float64] = around + sway
    shifts[:, 3] += 1
    return shifts


def _sway(count: int, columns: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Smooth random motion of unit size: neighbours are nearly alike (first-order, memory of ten frames)."""
    steps = rng.normal(0, 1, (count, columns))
    keep = 0.9
    for row in range(1, count):
        steps[row] = keep * steps[row - 1] + np.sqrt(1 - keep**2) * steps[row]
    return steps


def _flickering(lights: Lights, shake: Shake, rng: np.random.Generator) -> Lights:
    """The same lights, a little brighter and darker from frame to frame."""
    factor = 1 + shake.flicker * rng.normal(0, 1, (len(lights.gamma), 1))
    return Lights((lights.colour * factor).astype(np.float32), lights.glare, lights.blur, lights.noise, lights.gamma)
