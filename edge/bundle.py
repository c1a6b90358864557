"""The .edge file: one compiled model and everything a device must know to run it, check it and judge its drift.

Members: manifest.json (`edge.manifest`), golden.npz, baseline.npz, and the variants' files. Nothing in it changes from
run to run, so the same inputs give the same bytes. Opening one validates everything and never writes a file.
"""

import errno
import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge import archive
from edge.arrays import pack_arrays, unpack_arrays
from edge.bundle_rules import check_arrays, check_manifest
from edge.errors import BadBundleError, DiskFullError, FileMissingError
from edge.manifest import STATEFUL_FORMAT, AudioInput, Head, ImageInput, Manifest, Quality, SeriesInput, Variant

KIB, MIB = 1024, 1024 * 1024
MANIFEST, GOLDEN, BASELINE = "manifest.json", "golden.npz", "baseline.npz"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a bundle may hold; checked before anything is read."""

    bundle_bytes: int = 256 * MIB
    member_bytes: int = 128 * MIB
    manifest_bytes: int = 256 * KIB
    golden_bytes: int = 32 * MIB
    """2 pictures of 1180 x 1180 x 3 as float32; `edge compile` takes 4 MiB where two samples fit into that."""
    golden_samples: int = 16
    baseline_bytes: int = 256 * KIB
    members: int = 8


LIMITS = Limits()


@dataclass(frozen=True, slots=True, eq=False)
class Golden:
    """What every runtime must reproduce before the model may run."""

    input: NDArray[np.float32]
    """[n, *sample]: real-valued model input before quantization; sample is the model's shape without its leading 1.
    For a model with a state these are n steps of one sequence, which begins with the state at zero."""
    outputs: NDArray[np.float32]
    """[n, k]: the first output, or a detector's outputs one after the other; flattened and dequantized."""


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """What the held-out samples looked like to the compiled model: drift is measured against it."""

    scores: NDArray[np.int64]
    """Counts of the top-1 score by `edge.statistics.SCORE_EDGES`; of another task's score by its `score_edges`."""
    labels: NDArray[np.int64]
    """Counts of the top-1 label; as many as the first output has numbers. Empty for a task without labels."""
    input_mean: NDArray[np.float32]
    """Per channel or column, of the real-valued input."""
    input_std: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """An opened, validated bundle; the models themselves stay on disk until `read`."""

    path: Path
    manifest: Manifest
    golden: Golden
    baseline: Baseline
    sha256: str
    """Of the whole file."""
    size_bytes: int
    _members: dict[str, archive.Member] = field(repr=False)

    def read(self, file: str) -> bytes:
        """The bytes of one variant's file, its hash checked again: the file may have changed since it was opened."""
        variant = next((v for v in self.manifest.variants if v.file == file), None)
        if variant is None:
            names = ", ".join(v.file for v in self.manifest.variants)
            raise BadBundleError(f"{self.path.name} holds no model {file!r}", remedy=f"it holds {names}")
        with _opened(self.path) as opened:
            return _model(opened, self._members[file], variant)


def pack(path: Path, manifest: Manifest, *, files: Mapping[str, bytes], golden: Golden, baseline: Baseline) -> Path:
    """Write a bundle, all of it or nothing, and return its path.

    `files`: the variants' bytes by file name. What is written is opened again first, so whatever `pack` leaves
    behind can be opened. Raises: BadBundleError, DiskFullError.
    """
    data = archive.write(
        {
            **files,
            MANIFEST: msgspec.json.format(msgspec.json.encode(manifest, order="deterministic"), indent=2) + b"\n",
            GOLDEN: pack_arrays({"input": golden.input, "outputs": golden.outputs}),
            BASELINE: pack_arrays(
                {
                    "scores": baseline.scores,
                    "labels": baseline.labels,
                    "input_mean": baseline.input_mean,
                    "input_std": baseline.input_std,
                }
            ),
        }
    )
    return place(path, data)


def place(path: Path, data: bytes) -> Path:
    """Write the bytes of a bundle, all of them or nothing, opened as a stranger would before they stand at `path`.

    Raises: BadBundleError, DiskFullError.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=_folder(path))
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        open_bundle(temporary)
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as exc:
        if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFullError(
                f"no room for {path} ({len(data)} bytes)", remedy="free some space, or name another folder with -o"
            ) from exc
        raise
    finally:
        temporary.unlink(missing_ok=True)
    return path


def open_bundle(path: Path) -> Bundle:
    """Open and validate a bundle: sizes, names, layout, hashes, schema, golden samples, baseline.

    Raises: FileMissingError; BadBundleError for everything else, whatever bytes the file holds.
    """
    with _opened(path) as file:
        size = file.seek(0, os.SEEK_END)
        if size > LIMITS.bundle_bytes:
            raise _bad(path, f"it has {size} bytes, more than {LIMITS.bundle_bytes}")
        try:
            members = archive.index(file, most_members=LIMITS.members, most_bytes=LIMITS.member_bytes)
            manifest = _manifest(_member(file, members, MANIFEST, LIMITS.manifest_bytes))
            check_manifest(manifest, members, {MANIFEST, GOLDEN, BASELINE})
            golden = Golden(**_arrays(file, members, GOLDEN, LIMITS.golden_bytes, ("input", "outputs")))
            names = ("scores", "labels", "input_mean", "input_std")
            baseline = Baseline(**_arrays(file, members, BASELINE, LIMITS.baseline_bytes, names))
            check_arrays(
                manifest,
                golden=(golden.input, golden.outputs),
                baseline=(baseline.scores, baseline.labels, baseline.input_mean, baseline.input_std),
                most_samples=LIMITS.golden_samples,
            )
            for variant in manifest.variants:
                _model(file, members[variant.file], variant)
        except BadBundleError as exc:
            raise _bad(path, exc.problem.removeprefix("not a bundle: "), exc.remedy) from exc
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Bundle(path, manifest, golden, baseline, sha256, size, members)


def describe(manifest: Manifest) -> str:
    """A bundle in a few lines, for people."""
    q = manifest.quality
    lines = [
        f"{manifest.name} version {manifest.version}, for {manifest.target}",
        f"  input     {_input(manifest)}",
        _task(manifest),
        *([f"  state     {_state(manifest)}"] if manifest.stateful else []),
        f"  quality   {q.metric} {_value(q, q.compiled)} (float {_value(q, q.reference)}, "
        f"drop {q.drop * 100:+.2f} points, 95 % interval {q.ci95[0] * 100:+.2f} to {q.ci95[1] * 100:+.2f}), "
        f"decides like float on {q.agreement:.1%} of {q.samples} samples",
        *([f"  budget    {_verdict(manifest)}"] if q.verdict else []),
    ]
    models = [
        f"  runs on   {v.runtime}, {v.dtype}, {v.size_bytes / 1000:,.1f} kB ({v.file})" for v in manifest.variants
    ]
    times = [
        f"  latency   {t.ms:.3g} ms {t.kind} ({t.low:.3g} to {t.high:.3g}) on {t.core}, {t.runtime}"
        for t in manifest.latency
    ]
    return "\n".join([*lines, *models, *times])


def _task(manifest: Manifest) -> str:
    names = manifest.labels
    if isinstance(manifest.head, Head):
        head = manifest.head
        boxes = f"boxes of {len(names)} labels: {', '.join(names[:8])}{', ...' if names[8:] else ''}"
        return f"  detects   {boxes}; {head.format}, seen from a score of {head.floor:g}"
    if manifest.task != "classify":
        return f"  task      {manifest.task}"
    return f"  labels    {len(names)}: {', '.join(names[:8])}{', ...' if names[8:] else ''}"


def _state(manifest: Manifest) -> str:
    states = manifest.variants[0].state
    sizes = ", ".join(f"{one.input.name} of {' x '.join(map(str, one.input.shape))}" for one in states)
    return f"{sizes}; zero at first, after a gap and after a switch"


def _value(quality: Quality, value: float) -> str:
    return f"{value:.4g}" if quality.metric in {"mae", "correlation"} else f"{value:.1%}"


def _verdict(manifest: Manifest) -> str:
    quality, recipe = manifest.quality, manifest.provenance.recipe
    bound = "" if quality.upper95 is None else f": at most {100 * quality.upper95:.2f} points lost, at 95 % confidence"
    return f"{quality.verdict}{bound}; the budget is a drop of {recipe.get('max_drop', 'unknown')}"


def _input(manifest: Manifest) -> str:
    match manifest.input:
        case ImageInput(width=w, height=h, colour=colour, layout=layout, resize=resize):
            return f"picture {w} x {h}, {colour}, {layout}, {resize}"
        case SeriesInput(window=window, stride=stride, columns=columns, layout=layout):
            return f"{window} rows of {', '.join(columns)}, every {stride} rows, {layout}"
        case AudioInput(sample_rate=rate, window=window, stride=stride, n_mels=mels, n_mfcc=mfcc, layout=layout):
            values = f"{mfcc} MFCC of {mels} mel" if mfcc else f"{mels} log-mel"
            return f"sound at {rate} Hz, {window} frames of {values}, every {stride} frames, {layout}"
        case other:
            return f"tensor {' x '.join(map(str, other.shape))}"


def _folder(path: Path) -> Path:
    if not path.parent.is_dir():
        raise FileMissingError(f"no folder {path.parent}", remedy="create it, or name another file with -o")
    return path.parent


def _opened(path: Path) -> BufferedReader:
    if not path.exists():
        raise FileMissingError(f"no bundle {path}", remedy="check the path; `edge compile` writes NAME-VERSION.edge")
    if not path.is_file():
        raise _bad(path, "it is not a file")
    try:
        return path.open("rb")
    except OSError as exc:
        raise _bad(path, f"it cannot be read ({exc.strerror})") from exc


def _member(file: BinaryIO, members: dict[str, archive.Member], name: str, most_bytes: int) -> bytes:
    if name not in members:
        raise BadBundleError(f"{name} is missing", remedy=archive.REMEDY)
    if members[name].size_bytes > most_bytes:
        problem = f"{name} has {members[name].size_bytes} bytes, more than {most_bytes}"
        raise BadBundleError(problem, remedy=archive.REMEDY)
    return archive.read(file, members[name])


def _arrays(
    file: BinaryIO, members: dict[str, archive.Member], name: str, most_bytes: int, arrays: tuple[str, ...]
) -> dict[str, NDArray[Any]]:
    return unpack_arrays(_member(file, members, name, most_bytes), arrays, name)


class _Stated(msgspec.Struct, frozen=True):
    """What is read of a manifest that this release does not understand."""

    format: int = 0


def _manifest(data: bytes) -> Manifest:
    try:
        return msgspec.json.decode(data, type=Manifest)
    except msgspec.ValidationError as exc:
        stated = _stated_format(data)
        if stated > STATEFUL_FORMAT:
            raise BadBundleError(
                f"{MANIFEST} has format {stated}, and this release reads up to {STATEFUL_FORMAT}",
                remedy="install a newer edgewright here, or compile the model with this release",
            ) from exc
        raise BadBundleError(f"{MANIFEST}: {exc}", remedy=archive.REMEDY) from exc
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise BadBundleError(f"{MANIFEST}: {exc}", remedy=archive.REMEDY) from exc


def _stated_format(data: bytes) -> int:
    try:
        return msgspec.json.decode(data, type=_Stated).format
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return 0


def _model(file: BinaryIO, member: archive.Member, variant: Variant) -> bytes:
    data = archive.read(file, member)
    if hashlib.sha256(data).hexdigest() != variant.sha256:
        raise BadBundleError(f"{variant.file} is not the file that the manifest names", remedy=archive.REMEDY)
    return data


def _bad(path: Path, what: str, remedy: str = archive.REMEDY) -> BadBundleError:
    return BadBundleError(f"{path.name} is not a bundle: {what}", remedy=remedy)
