"""`identity`: the embedding of this picture is like the enrolled ones, and less like any other known one -> go.

Likeness is the cosine of two embeddings. A subject's file (`edge enrol-subject`) holds embeddings of the subject, and
of a cohort of others: one that is a little like everybody must not pass for the subject.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from edge.errors import BadConfigError, BadDataError, FileMissingError
from edge_agent.deciders import SAFE, Decision, action_index, second_action
from edge_agent.deciders.classify import Hold

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Cosine = Annotated[float, msgspec.Meta(ge=-1, le=1)]
MAX_FILE_BYTES = 32 << 20
Vector = tuple[float, ...]


class Subject(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A subject's file: JSON. Every embedding has length 1."""

    name: str
    model: str
    version: int
    """Of the bundle that made the embeddings; another version makes others."""
    prototypes: Annotated[tuple[Vector, ...], msgspec.Meta(min_length=1, max_length=1000)]
    cohort: Annotated[tuple[Vector, ...], msgspec.Meta(max_length=10_000)] = ()


class Identity:
    """Options and actions, bound together."""

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Who, and how sure."""

        subject: Path
        """The file that `edge enrol-subject` wrote."""
        floor: Cosine
        """Least likeness to the most like enrolled picture; the command says what it measured."""
        margin: Annotated[float, msgspec.Meta(ge=0, le=2)] = 0.0
        """By how much it must exceed the likeness to the most like picture of the cohort."""
        hold_s: Annotated[float, msgspec.Meta(ge=0, lt=3600)] = 0.3
        """How long it must be so without a break."""
        max_gap_s: Annotated[float, msgspec.Meta(gt=0, lt=3600)] = 0.5
        """Frames further apart than this are a break."""
        go: str | None = None
        """Action for the subject; by default the second one."""

    def __init__(self, options: Options, labels: tuple[str, ...], actions: tuple[str, ...]) -> None:  # noqa: ARG002
        import numpy as np

        subject = read_subject(options.subject)
        self._go = action_index(options.go or second_action(actions, "name one of them as `go`"), actions)
        self._own = np.array(subject.prototypes, np.float32)
        self._others = np.array(subject.cohort, np.float32).reshape(-1, self._own.shape[1])
        self._margin = options.margin
        self.floor = max(0.0, options.floor)
        self._hold = Hold(options.floor, options.floor, options.hold_s, options.max_gap_s)

    def step(self, output: NDArray[np.float32], now_s: float) -> Decision:
        """Compare one embedding; the score is its likeness, 0 where it is negative."""
        embedding = unit(output)
        if embedding is None:
            self._hold.step(None, 0.0, now_s)
            return Decision(SAFE)
        if embedding.size != self._own.shape[1]:
            raise BadConfigError(
                f"decider: the subject has embeddings of {self._own.shape[1]} values, the model of {embedding.size}",
                remedy="enrol the subject again with this bundle",
            )
        like = float((self._own @ embedding).max())
        other = float((self._others @ embedding).max()) if len(self._others) else -1.0
        held = self._hold.step(0 if like - other >= self._margin else None, like, now_s)
        return Decision(self._go if held else SAFE, score=min(1.0, max(0.0, like)))


def unit(output: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """An embedding of length 1; None where it is not finite, or has no direction."""
    import numpy as np

    flat = output.ravel().astype(np.float32)
    length = float(np.linalg.norm(flat.astype(np.float64)))
    if not (0 < length < float("inf")):
        return None
    scaled: NDArray[np.float32] = (flat / length).astype(np.float32)
    return scaled


def read_subject(path: Path) -> Subject:
    """Read a subject's file; raises `FileMissingError` or `BadDataError`."""
    remedy = "write it with `edge enrol-subject`"
    if not path.is_file():
        raise FileMissingError(f"no subject {path}", remedy=remedy)
    if path.stat().st_size > MAX_FILE_BYTES:
        raise BadDataError(f"{path.name} is larger than {MAX_FILE_BYTES} bytes", remedy=remedy)
    try:
        subject = msgspec.json.decode(path.read_bytes(), type=Subject)
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise BadDataError(f"{path.name} is no subject: {exc}", remedy=remedy) from exc
    if len({len(vector) for vector in subject.prototypes + subject.cohort}) != 1 or not subject.prototypes[0]:
        raise BadDataError(f"{path.name} holds embeddings of different lengths", remedy=remedy)
    return subject
