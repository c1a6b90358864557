"""`edge enrol-subject`: pictures of a subject, and of others, through a bundle, into what `identity` reads."""

from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.bundle import Bundle, open_bundle
from edge.errors import BadDataError
from edge.preprocess import Preprocessor
from edge.runtimes import Session, open_session
from edge_agent.deciders.identity import Subject, unit
from edge_agent.sources.images import Images

Real = NDArray[np.float32]


class Enrolled(msgspec.Struct, frozen=True, kw_only=True):
    """What the command prints with `--json`. Likenesses are cosines, -1 to 1."""

    subject: str
    pictures: int
    cohort: int
    lowest_own: float | None
    """Of each own picture, the likeness to the most like other one; the lowest of them. None with one picture."""
    highest_other: float | None
    """Of each picture of the cohort, the likeness to the most like own one; the highest of them."""


def enrol(bundle_path: Path, pictures: Path, cohort: Path | None, out: Path, name: str) -> Enrolled:
    """Write the subject's file; raises `BadDataError` where a picture gives no embedding."""
    bundle = open_bundle(bundle_path)
    session = open_session(bundle)
    try:
        own = embed(bundle, session, pictures)
        others = embed(bundle, session, cohort) if cohort else np.empty((0, own.shape[1]), np.float32)
    finally:
        session.close()
    subject = Subject(
        name=name,
        model=bundle.manifest.name,
        version=bundle.manifest.version,
        prototypes=tuple(map(tuple, own.tolist())),
        cohort=tuple(map(tuple, others.tolist())),
    )
    out.write_bytes(msgspec.json.encode(subject))
    return _measured(name, own, others)


def embed(bundle: Bundle, session: Session, folder: Path) -> Real:
    """One embedding of length 1 for each picture of a folder, in the order of names: [n, size]."""
    preprocessor = Preprocessor(bundle.manifest.input, session.variant.input)
    images = Images(Images.Options(path=folder, loop=False))
    images.open(0, 0, 1)
    found: list[Real] = []
    while (picture := images.read(len(found) + 1)) is not None:
        preprocessor.into(picture.pixels, session.input_buffer())
        session.invoke()
        embedding = unit(session.output())
        if embedding is None:
            raise BadDataError(
                f"picture {len(found) + 1} of {folder} gives no embedding", remedy="look at that picture, or the model"
            )
        found.append(embedding)
    return np.stack(found)


def _measured(name: str, own: Real, others: Real) -> Enrolled:
    alike = own @ own.T
    np.fill_diagonal(alike, -1.0)
    return Enrolled(
        subject=name,
        pictures=len(own),
        cohort=len(others),
        lowest_own=round(float(alike.max(axis=1).min()), 4) if len(own) > 1 else None,
        highest_other=round(float((others @ own.T).max()), 4) if len(others) else None,
    )


def describe(enrolled: Enrolled) -> str:
    """For people."""
    lines = [f"{enrolled.subject}: {enrolled.pictures} pictures, {enrolled.cohort} of others"]
    if enrolled.lowest_own is not None:
        lines.append(f"own pictures are alike by {enrolled.lowest_own:.3f} at least")
    if enrolled.highest_other is not None:
        lines.append(f"others are alike by {enrolled.highest_other:.3f} at most; choose a floor above, and test it")
    return "\n".join(lines)
