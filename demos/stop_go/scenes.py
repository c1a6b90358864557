"""One scene in plain light: a photograph of a traffic light, a sign held up by hand, or nothing that means anything."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demos.stop_go.backgrounds import make_backgrounds
from demos.stop_go.photos import Photo, Split, load_photos

Picture = NDArray[np.uint8]
LABELS = ("red", "yellow", "green", "none")
CANVAS = 64
"""Edge of a scene, in pixels; a frame is cut out of it, so that the camera can shake."""
FRAME = 48
"""Edge of what the camera delivers, and of the models' input, in pixels."""
_PHOTO_SHARE: dict[Split, dict[str, float]] = {
    "train": {"red": 0.6, "green": 0.6, "yellow": 0.4},  # harder to learn than signs; of yellow there are few
    "test": {"red": 0.4, "green": 0.4, "yellow": 0.4},
}
_CARD = 96  # edge of the drawing of a sign, in pixels: larger than on the canvas, for smooth edges


@dataclass(frozen=True, slots=True)
class Props:
    """What scenes of one split are made from."""

    photos: dict[str, tuple[Photo, ...]]
    backgrounds: Picture  # [n, 128, 128, 3]
    photo_share: dict[str, float]  # by label: how many scenes show a photograph; the others show a sign


def load_props(split: Split, *, seed: int, backgrounds: int = 240) -> Props:
    """Read the photographs and make the backgrounds of one split."""
    rng = np.random.default_rng([seed, 1 if split == "train" else 2])
    photos = load_photos(split)
    by_colour = {colour: tuple(p for p in photos if p.colour == colour) for colour in LABELS[:3]}
    return Props(by_colour, make_backgrounds(split, backgrounds, rng), _PHOTO_SHARE[split])


def make_scene(label: str, props: Props, rng: np.random.Generator) -> Picture:
    """Make one scene that shows `label`: uint8 [CANVAS, CANVAS, 3], BGR, in plain light."""
    canvas = _backdrop(props, rng)
    if rng.uniform() < 0.35 or label == "none":
        _clothing(canvas, rng)
    if label == "none":
        return canvas
    if rng.uniform() < props.photo_share[label]:
        photos = props.photos[label]
        _paste_photo(canvas, photos[int(rng.integers(len(photos)))].pixels, rng)
    else:
        _hold_up_sign(canvas, label, rng)
    return canvas


def cut_frames(canvas: Picture, shifts: NDArray[np.float64]) -> Picture:
    """Look at one scene as a shaking camera does.

    shifts: [n, 4] of x and y in pixels, rotation in radians, zoom factor. Returns uint8 [n, FRAME, FRAME, 3].
    """
    import cv2

    frames = np.empty((len(shifts), FRAME, FRAME, 3), np.uint8)
    for frame, (x, y, angle, zoom) in zip(frames, shifts, strict=True):
        cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
        middle, half = CANVAS / 2 - 0.5, FRAME / 2 - 0.5
        matrix = np.array(
            [
                [cos, -sin, middle + x - cos * half + sin * half],
                [sin, cos, middle + y - sin * half - cos * half],
            ]
        )
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        cv2.warpAffine(canvas, matrix, (FRAME, FRAME), dst=frame, flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    return frames


def _backdrop(props: Props, rng: np.random.Generator) -> Picture:
    """A piece of a background, perhaps mirrored."""
    texture = props.backgrounds[int(rng.integers(len(props.backgrounds)))]
    y, x = rng.integers(0, texture.shape[0] - CANVAS, 2)
    piece = texture[y : y + CANVAS, x : x + CANVAS]
    return np.ascontiguousarray(piece[:, ::-1] if rng.uniform() < 0.5 else piece)


def _clothing(canvas: Picture, rng: np.random.Generator) -> None:
    """A sleeve or a curtain: a large soft patch of any colour, red and green too, that runs off the picture."""
    import cv2

    edge = int(rng.integers(4))
    along = rng.uniform(0.0, 1.0) * CANVAS
    reach, width = rng.uniform(0.15, 0.4) * CANVAS, rng.uniform(0.3, 0.9) * CANVAS
    points = np.array([[along - width, -20], [along + width, -20], [along + width * rng.uniform(0.3, 1), reach],
                       [along - width * rng.uniform(0.3, 1), reach * rng.uniform(0.5, 1)]])  # fmt: skip
    for _ in range(edge):
        points = np.stack([CANVAS - points[:, 1], points[:, 0]], axis=1)
    colour = _vivid(rng, None) if rng.uniform() < 0.6 else rng.uniform(10, 240, 3)
    mask = np.zeros((CANVAS, CANVAS), np.uint8)
    cv2.fillPoly(mask, [points.astype(np.int32)], 255, lineType=cv2.LINE_AA)
    mask = cv2.GaussianBlur(mask, (5, 5), 1.0)
    folds = 1 + 0.25 * np.sin(np.arange(CANVAS) / rng.uniform(2, 6) + rng.uniform(0, 6))
    _blend(canvas, colour[None, None, :] * folds[None, :, None], mask)


def _paste_photo(canvas: Picture, photo: Picture, rng: np.random.Generator) -> None:
    """A photograph, as a print held before the camera: its shape kept, softly cut out, slightly turned."""
    import cv2

    height, width = photo.shape[:2]
    scale = rng.uniform(0.75, 0.98) * FRAME / max(height, width / 0.8)
    angle = rng.uniform(-0.12, 0.12)
    x, y = CANVAS / 2 + rng.uniform(-0.06, 0.06, 2) * FRAME
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    matrix = np.array(
        [[cos, -sin, x - cos * width / 2 + sin * height / 2], [sin, cos, y - sin * width / 2 - cos * height / 2]]
    )
    if scale < 0.7:  # shrink first: warpAffine alone would skip pixels
        photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        matrix[:, 0] *= width / photo.shape[1]
        matrix[:, 1] *= height / photo.shape[0]
    size = (CANVAS, CANVAS)
    pasted = cv2.warpAffine(photo, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.warpAffine(np.full(photo.shape[:2], 255, np.uint8), matrix, size, flags=cv2.INTER_LINEAR)
    _blend(canvas, pasted, cv2.GaussianBlur(mask, (3, 3), 0.7))


def _hold_up_sign(canvas: Picture, label: str, rng: np.random.Generator) -> None:
    """A round, eight-cornered or diamond card on a stick, in perspective, with a hand that covers some of it."""
    import cv2

    big = _CARD
    card = np.zeros((big, big, 3), np.float32)
    mask = np.zeros((big, big), np.uint8)
    corners = _outline(rng) * 0.42 * big + big / 2
    colour = _vivid(rng, label)
    _stick(card, mask, rng)
    rim = np.clip(colour * rng.choice([0.6, 1.0]) + (255 if rng.uniform() < 0.4 else 0), 0, 255)
    for scale, shade in ((1.0, rim), (rng.uniform(0.86, 0.97), colour)):
        points = ((corners - big / 2) * scale + big / 2).astype(np.int32)
        cv2.fillPoly(card, [points], shade.tolist())
        cv2.fillPoly(mask, [points], 255)
    _symbol(card, colour, rng)
    _hand(card, mask, rng)
    size = rng.uniform(0.6, 0.95) * FRAME / (0.84 * big)
    place = CANVAS / 2 + rng.uniform(-0.12, 0.12, 2) * FRAME
    square = np.array([[0, 0], [big, 0], [big, big], [0, big]], np.float32)
    tilted = (square - big / 2) * size * (1 + rng.uniform(-0.13, 0.13, (4, 2))) @ _turn(rng.uniform(-0.3, 0.3)) + place
    matrix = cv2.getPerspectiveTransform(square, tilted.astype(np.float32))
    soft = cv2.GaussianBlur(card, (3, 3), 0.8), cv2.GaussianBlur(mask, (3, 3), 0.8)
    pasted, cover = (cv2.warpPerspective(layer, matrix, (CANVAS, CANVAS), flags=cv2.INTER_LINEAR) for layer in soft)
    _blend(canvas, pasted, cover)


def _outline(rng: np.random.Generator) -> NDArray[np.float64]:
    """Corners [n, 2] of the card, on the unit circle."""
    corners = int(rng.choice([32, 8, 4]))
    angles = np.arange(corners) * 2 * np.pi / corners + (np.pi / 8 if corners == 8 else 0)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _turn(angle: float) -> NDArray[np.float64]:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _vivid(rng: np.random.Generator, label: str | None) -> NDArray[np.float64]:
    """A strong colour as paint and felt have it: red, green, or (None) any. B, G, R in 0..255."""
    import cv2

    hue = {"red": rng.normal(178, 3), "yellow": rng.normal(25, 2), "green": rng.normal(64, 3)}.get(
        label or "", rng.uniform(0, 180)
    ) % 180
    pixel = np.array([[[hue, rng.uniform(190, 250), rng.uniform(140, 240)]]], np.uint8)
    bgr: NDArray[np.float64] = cv2.cvtColor(pixel, cv2.COLOR_HSV2BGR)[0, 0].astype(np.float64)
    return bgr


def _stick(card: NDArray[np.float32], mask: Picture, rng: np.random.Generator) -> None:
    import cv2

    big = len(card)
    thickness = int(rng.integers(4, 9))
    for layer, shade in ((card, rng.uniform(40, 200, 3).tolist()), (mask, 255)):
        cv2.line(layer, (big // 2, big // 2), (big // 2, big), shade, thickness)


def _symbol(card: NDArray[np.float32], colour: NDArray[np.float64], rng: np.random.Generator) -> None:
    """A white bar, a ring, some letters, or nothing; it says nothing of the colour."""
    import cv2

    big = len(card)
    middle, white = big // 2, [float(rng.uniform(190, 250))] * 3
    match int(rng.integers(4)):
        case 0:
            half = int(0.22 * big)
            cv2.rectangle(card, (middle - half, middle - big // 18), (middle + half, middle + big // 18), white, -1)
        case 1:
            cv2.circle(card, (middle, middle), int(0.26 * big), white, max(2, big // 32))
        case 2:
            text = "".join(rng.choice(list("ABDEGHKLNOPRSTU"), 4))
            cv2.putText(card, text, (int(0.2 * big), int(0.56 * big)), cv2.FONT_HERSHEY_SIMPLEX, big / 105, white, 3)
        case _:
            card += 0 * colour  # a plain card


def _hand(card: NDArray[np.float32], mask: Picture, rng: np.random.Generator) -> None:
    """Fingers over the lower rim: ellipses of a skin's colour, from very dark to very light."""
    import cv2

    big = len(card)
    skin = np.array([0.55, 0.7, 1.0]) * rng.uniform(70, 240)
    x = rng.uniform(0.25, 0.65) * big
    for finger in range(int(rng.integers(1, 5))):
        centre = (int(x + finger * 0.09 * big), int(rng.uniform(0.84, 0.94) * big))
        axes = (int(0.05 * big), int(rng.uniform(0.1, 0.17) * big))
        for layer, shade in ((card, (skin * rng.uniform(0.85, 1.05)).tolist()), (mask, 255)):
            cv2.ellipse(layer, centre, axes, float(rng.uniform(-12, 12)), 0, 360, shade, -1)


def _blend(canvas: Picture, over: NDArray[np.generic], mask: Picture) -> None:
    """Lay `over` on the canvas in place, as far as `mask` (0..255) lets it through."""
    share = mask[..., None].astype(np.float32) / 255
    canvas[:] = np.clip(canvas + share * (over.astype(np.float32) - canvas), 0, 255).astype(np.uint8)
