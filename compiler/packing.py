"""Writes down what was proved: the manifest, and the bundle around it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from msgspec import UNSET
from msgspec.structs import replace

from compiler.budget import Budget, Judgement
from compiler.candidate import Candidate
from compiler.load.source import SourceModel
from compiler.load.state import write_states
from compiler.measure import Measured
from compiler.split import Split
from compiler.subject import Subject
from edge.bundle import Baseline, Golden, pack
from edge.environments import TF2ONNX
from edge.errors import BadArgumentError, FileMissingError
from edge.manifest import FORMAT, STATEFUL_FORMAT, Manifest, Provenance, Tolerance
from edge.topics import is_id

TOOLS = (
    "edgewright", "numpy", "torch", "onnx", "onnxscript", "onnxruntime",
    "litert-torch", "ai-edge-quantizer", "ai-edge-litert",
)  # fmt: skip
LONGEST_LABEL = 64
NAME_RULE = "--name takes letters, digits, - and _, 64 at most, a letter or digit first"


@dataclass(frozen=True, slots=True)
class Order:
    """What the bundle shall be called, what for, and where it shall lie."""

    target: str
    name: str | None = None
    version: int = 1
    output: Path | None = None


def describe(
    order: Order,
    subject: Subject,
    *,
    main: Measured,
    packed: Sequence[Candidate],
    tools: Mapping[str, str],
    judgement: Judgement,
    score_edges: tuple[float, ...],
    tolerance: Tolerance,
    recipe: Mapping[str, str],
) -> Manifest:
    """Fill in the manifest; nothing in it changes from run to run or from folder to folder.

    `main` is what was measured, `packed` what the bundle holds; `tools` are those beside our own that made it.
    """
    return Manifest(
        format=STATEFUL_FORMAT if subject.model.state else FORMAT,
        name=bundle_name(order, subject.model),
        version=order.version,
        target=order.target,
        labels=tuple(name[:LONGEST_LABEL] for name in _labels(subject)),
        task=subject.task,
        head=UNSET if subject.reader is None else subject.reader.head,
        score_edges=score_edges,
        input=subject.contract,
        variants=tuple(one.variant for one in packed),
        quality=replace(main.quality, verdict=judgement.verdict),
        latency=() if main.predicted is None else (main.predicted,),
        golden=tolerance,
        provenance=Provenance(
            source_sha256=subject.model.sha256,
            data_sha256=subject.samples.sha256,
            tools=tool_versions() | dict(tools) | converter_of(subject.model),
            recipe=dict(recipe),
        ),
    )


def _labels(subject: Subject) -> tuple[str, ...]:
    return subject.samples.classes if subject.task in {"classify", "detect"} else ()


def recipe_of(calibrated: Subject, parts: Split, budget: Budget, *, golden_from_data: bool) -> dict[str, str]:
    """In words and numbers, what was done with the data and held against what."""
    kind = "normal samples" if calibrated.task == "anomaly" else "samples"
    recipe = {
        "calibration": f"{len(calibrated.samples)} {kind}, lowest sha256 of the content",
        "split": f"{len(parts.calibrate)} calibrate, {len(parts.select)} select, {len(parts.report)} report",
        "golden": "from the data" if golden_from_data else "synthetic, from input statistics",
        "max_drop": f"{budget.max_drop:g}",
    }
    if calibrated.model.pairs:
        recipe["state"] = write_states(calibrated.model.pairs)
    if calibrated.samples.assumed:
        recipe["truth"] = "what the float model itself sees: nobody annotated the data"
    return recipe if budget.max_ms is None else recipe | {"max_ms": f"{budget.max_ms:g}"}


def pack_bundle(
    order: Order, manifest: Manifest, packed: Sequence[Candidate], golden: Golden, baseline: Baseline
) -> Path:
    """Write the bundle; `pack` opens it as a stranger would before it lets it stand."""
    path = order.output or Path(f"{manifest.name}-{manifest.version}.edge")
    files = {one.variant.file: one.data for one in packed}
    return pack(path, manifest, files=files, golden=golden, baseline=baseline)


def check_order(order: Order) -> None:
    """Refuse before the work what would be refused after it: a bad name or version, a missing folder."""
    if order.name is not None and not is_id(order.name):
        raise BadArgumentError(f"{order.name!r} cannot name a model", remedy=NAME_RULE)
    if not 1 <= order.version < 2**31:
        raise BadArgumentError(f"{order.version} is no version", remedy="--model-version takes a whole number from 1")
    if order.output is not None and not order.output.parent.is_dir():
        raise FileMissingError(f"no folder {order.output.parent}", remedy="create it, or name another file with -o")


def bundle_name(order: Order, model: SourceModel) -> str:
    """Take the name asked for, or make one of the model's; raises BadArgumentError if it may not name a bundle."""
    name = order.name or re.sub(r"[^A-Za-z0-9_-]+", "-", model.name).strip("-_")[:64]
    if not is_id(name):
        raise BadArgumentError(f"{name!r} cannot name a model", remedy=NAME_RULE)
    return name


def converter_of(model: SourceModel) -> dict[str, str]:
    """Name and version of what made the ONNX form of a TFLite source."""
    return dict([TF2ONNX.title.rsplit(" ", 1)]) if model.onnx is not None else {}


def tool_versions() -> dict[str, str]:
    """Versions of what shapes the bytes of a bundle, where installed."""
    found = {}
    for tool in TOOLS:
        try:
            found[tool] = version(tool)
        except PackageNotFoundError:
            continue
    return found
