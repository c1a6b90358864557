"""What a bundle's parts must say of each other, beyond the schema; every broken rule is a `BadBundleError`."""

import math
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge import archive
from edge.boxes import check_head
from edge.errors import BadBundleError, BadInputContractError
from edge.manifest import FORMAT, STATEFUL_FORMAT, Head, Manifest, TensorSpec, Variant
from edge.preprocess import check_contract, sample_shape
from edge.quantization import LIMITS as CODES
from edge.statistics import SCORE_EDGES

_NAME = re.compile(archive.NAME_PATTERN)
MOST_NUMBERS, MOST_OF_BOXES = 65_536, 2**19
"""In the first output; in all outputs of a detector, of which YOLOs of 320 pixels have 176,400."""


def check_manifest(manifest: Manifest, members: Mapping[str, archive.Member], reserved: set[str]) -> None:
    """Names, sizes and tensors: the manifest against the members and against itself."""
    files = [v.file for v in manifest.variants]
    for name in files:
        require(_NAME.fullmatch(name) is not None and name not in reserved, f"{name!r} is not a name for a model file")
    require(len(set(files)) == len(files), "two variants share one file")
    require(set(members) == set(files) | reserved, f"members {sorted(members)} are not those of the manifest")
    first = manifest.variants[0]
    wanted_format = STATEFUL_FORMAT if manifest.stateful else FORMAT
    require(manifest.format == wanted_format, f"format {manifest.format}, where its variants need {wanted_format}")
    for variant in manifest.variants:
        require(variant.size_bytes == members[variant.file].size_bytes, f"{variant.file} has not the size it should")
        require(variant.input.shape == first.input.shape, "the variants take inputs of different shapes")
        require(_sizes(variant) == _sizes(first), "the variants have states of different sizes")
        _check_variant(variant, manifest)
    try:
        check_contract(manifest.input, first.input)
        _check_head(manifest)
    except BadInputContractError as exc:
        raise BadBundleError(exc.problem, remedy=archive.REMEDY) from exc
    require(min(manifest.golden.atol, manifest.golden.rtol) >= 0, "a negative tolerance")
    edges = manifest.score_edges
    wanted = 0 if manifest.task == "classify" else len(SCORE_EDGES)
    require(len(edges) == wanted, f"{len(edges)} score edges, {wanted} belong to the task {manifest.task}")
    require(all(low < high for low, high in pairwise(edges)), "the score edges do not ascend")
    named = manifest.task in {"classify", "detect"}
    require(named or not manifest.labels, f"labels, which the task {manifest.task} has not")


def check_arrays(
    manifest: Manifest,
    *,
    golden: tuple[NDArray[Any], NDArray[Any]],
    baseline: tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]],
    most_samples: int,
) -> None:
    """Shapes of golden samples and baseline against the manifest."""
    given, outputs = golden
    scores, labels, mean, std = baseline
    n, k = len(given) if given.ndim else 0, output_size(manifest)
    require(1 <= n <= most_samples, f"golden.npz has {n} samples, not 1 to {most_samples}")
    require(given.dtype == np.float32 and outputs.dtype == np.float32, "golden samples are not float32")
    shape = (n, *sample_shape(manifest.variants[0].input))
    require(given.shape == shape, f"golden inputs have shape {given.shape}, not {shape}")
    require(outputs.shape == (n, k), f"golden outputs have shape {outputs.shape}, not {(n, k)}")
    require(scores.dtype == np.int64 and labels.dtype == np.int64, "the baseline's counts are not integers")
    require(scores.shape == (len(SCORE_EDGES) + 1,), f"the baseline has {scores.size} score bins")
    counted = k if manifest.task == "classify" else 0
    require(labels.shape == (counted,), f"the baseline counts {labels.size} labels, not {counted}")
    require(int(scores.min()) >= 0 and int(labels.min(initial=0)) >= 0, "the baseline has negative counts")
    require(mean.dtype == np.float32 and std.dtype == np.float32, "the baseline's input statistics are not float32")
    require(mean.ndim == 1 and mean.shape == std.shape and mean.size >= 1, "the baseline's mean and std do not match")
    require(bool((std >= 0).all()), "the baseline has a negative std")


def output_size(manifest: Manifest) -> int:
    """How many numbers the outputs have that count: the first one, or a detector's all."""
    return numbers_of(manifest.variants[0], manifest)


def numbers_of(variant: Variant, manifest: Manifest) -> int:
    """`output_size` of one variant."""
    counted = variant.outputs if manifest.task == "detect" else variant.outputs[:1]
    return sum(math.prod(spec.shape) for spec in counted)


def require(holds: bool, otherwise: str) -> None:
    """Raise `BadBundleError` unless `holds`."""
    if not holds:
        raise BadBundleError(otherwise, remedy=archive.REMEDY)


def _check_variant(variant: Variant, manifest: Manifest) -> None:
    require(len(variant.outputs) >= 1, f"{variant.file} has no output")
    states = [spec for one in variant.state for spec in (one.input, one.output)]
    for spec in (variant.input, *variant.outputs, *states):
        _check_tensor(spec)
    for one in variant.state:
        require(one.input.shape == one.output.shape, f"the state {one.input.name!r} changes its shape")
    size = numbers_of(variant, manifest)
    require(size == output_size(manifest), "the variants have outputs of different sizes")
    most = MOST_OF_BOXES if manifest.task == "detect" else MOST_NUMBERS
    require(size <= most, f"{variant.file} has {size} outputs, more than {most}")
    if manifest.labels and manifest.task == "classify":
        require(len(manifest.labels) == size, f"{len(manifest.labels)} labels for {size} outputs")


def _sizes(variant: Variant) -> list[int]:
    """How many numbers each state has; the layout may differ between two formats."""
    return [math.prod(one.input.shape) for one in variant.state]


def _check_head(manifest: Manifest) -> None:
    """A detector has a head that reads the outputs of every variant, and nobody else has one."""
    detector = isinstance(manifest.head, Head)
    require(detector == (manifest.task == "detect"), f"a head and the task {manifest.task} do not go together")
    require(not detector or bool(manifest.labels), "a detector without labels")
    for variant in manifest.variants:
        if isinstance(manifest.head, Head):
            check_head(manifest.head, [spec.shape for spec in variant.outputs], len(manifest.labels))


def _check_tensor(spec: TensorSpec) -> None:
    require(1 <= len(spec.shape) <= 7 and math.prod(spec.shape) <= 2**26, f"tensor {spec.name!r} is too large")
    if spec.dtype == "float32":
        require(spec.scale is None and spec.zero_point is None, f"float tensor {spec.name!r} has a scale")
        return
    low, high = CODES[spec.dtype]
    scale, zero_point = spec.scale, spec.zero_point
    require(scale is not None and 0 < scale < math.inf, f"tensor {spec.name!r} needs a positive scale")
    require(zero_point is not None and low <= zero_point <= high, f"tensor {spec.name!r} needs a zero point in range")
