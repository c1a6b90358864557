"""What a board measured of its own speed: `edge bench --calibration` writes it, `edge compile --calibration` reads it.

One JSON object, format 1. Its identity is the sha256 of everything but the date, so that two runs with equal figures
are the same calibration.
"""

import hashlib
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from edge.errors import BadArgumentError, BadDataError
from edge.manifest import Precision, Record, RuntimeName, Sha256

FORMAT: Literal[1] = 1
LIMIT_BYTES = 64 * 2**20
"""Of the file; a calibration carries the models that it timed."""
Millis = Annotated[float, msgspec.Meta(gt=0, lt=1e6)]


class Timing(Record, frozen=True, kw_only=True):
    """One model on one runtime: percentiles of inference alone."""

    sha256: Sha256
    file: str
    runtime: RuntimeName
    dtype: Precision
    p10_ms: Millis
    p50_ms: Millis
    p90_ms: Millis
    p99_ms: Millis
    inferences: Annotated[int, msgspec.Meta(ge=1)]
    model: bytes
    """The model itself, so that the compiler can say what it would have predicted for it. Base64 in JSON."""


class Calibration(Record, frozen=True, kw_only=True):
    """One board, as it was when its models were timed."""

    format: Literal[1] = FORMAT
    cores: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    """Core types, as targets name them."""
    cpu: str
    threads: Annotated[int, msgspec.Meta(ge=1)]
    runtimes: dict[str, str]
    """Runtime to its version."""
    timings: Annotated[tuple[Timing, ...], msgspec.Meta(min_length=1)]
    taken: str
    """ISO date; not part of `identity`."""

    def timing_of(self, sha256: str, runtime: RuntimeName) -> Timing | None:
        """The measurement of exactly this file on this runtime, if there is one."""
        same = (t for t in self.timings if (t.sha256, t.runtime) == (sha256, runtime))
        return next(same, None)

    @property
    def identity(self) -> str:
        """sha256 of everything but the date."""
        undated = msgspec.structs.replace(self, taken="")
        return hashlib.sha256(msgspec.json.encode(undated, order="deterministic")).hexdigest()


def read_calibration(path: Path) -> Calibration:
    """Read and check a calibration.

    Raises:
        BadArgumentError: there is no such file.
        BadDataError: it is no calibration, of another format, or was altered.

    """
    remedy = "take it again on the board: `edge bench BUNDLE --calibration board.json`"
    try:
        with path.open("rb") as file:
            content = file.read(LIMIT_BYTES + 1)
    except OSError as exc:
        raise BadArgumentError(f"cannot read {path}: {exc.strerror}", remedy=remedy) from exc
    if len(content) > LIMIT_BYTES:
        raise BadDataError(f"{path.name} is larger than {LIMIT_BYTES >> 20} MiB: no calibration", remedy=remedy)
    try:
        calibration = msgspec.json.decode(content, type=Calibration)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise BadDataError(f"{path.name} is no calibration of format {FORMAT}: {exc}", remedy=remedy) from exc
    altered = [t.file for t in calibration.timings if hashlib.sha256(t.model).hexdigest() != t.sha256]
    if altered:
        raise BadDataError(f"{path.name}: the model {altered[0]} is not the one that was timed", remedy=remedy)
    return calibration


def write_calibration(calibration: Calibration, path: Path) -> None:
    """Write `calibration`; raises BadArgumentError where nothing can be written."""
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(calibration), indent=1) + b"\n")
    except OSError as exc:
        raise BadArgumentError(
            f"cannot write {path}: {exc.strerror}", remedy="name a file in a folder that you may write to"
        ) from exc
