"""Writes down what was proved: the manifest, and the bundle around it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from compiler.dataset import Samples
from compiler.load.source import SourceModel
from compiler.measure import Measured
from edge.bundle import Baseline, Golden, pack
from edge.errors import BadArgumentError, FileMissingError
from edge.manifest import InputContract, Manifest, Provenance, Tolerance
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
    model: SourceModel,
    *,
    contract: InputContract,
    samples: Samples,
    taken: Sequence[Measured],
    tolerance: Tolerance,
    recipe: Mapping[str, str],
) -> Manifest:
    """Fill in the manifest; nothing in it changes from run to run or from folder to folder."""
    return Manifest(
        name=bundle_name(order, model),
        version=order.version,
        target=order.target,
        labels=tuple(name[:LONGEST_LABEL] for name in samples.classes),
        input=contract,
        variants=tuple(one.candidate.variant for one in taken),
        quality=taken[0].quality,
        golden=tolerance,
        provenance=Provenance(
            source_sha256=model.sha256, data_sha256=samples.sha256, tools=tool_versions(), recipe=dict(recipe)
        ),
    )


def pack_bundle(
    order: Order, manifest: Manifest, taken: Sequence[Measured], golden: Golden, baseline: Baseline
) -> Path:
    """Write the bundle; `pack` opens it as a stranger would before it lets it stand."""
    path = order.output or Path(f"{manifest.name}-{manifest.version}.edge")
    files = {one.candidate.variant.file: one.candidate.data for one in taken}
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


def tool_versions() -> dict[str, str]:
    """Versions of what shapes the bytes of a bundle, where installed."""
    found = {}
    for tool in TOOLS:
        try:
            found[tool] = version(tool)
        except PackageNotFoundError:
            continue
    return found
