"""Model -> bundle: load -> contract -> data -> split -> candidates -> measure -> choose -> verify -> pack -> report."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from compiler.candidate import build_candidates, load_model
from compiler.checks import check_classifier, compilable_target, judge_reference, judge_split
from compiler.choose import MAX_DROP, choose
from compiler.contract import beside, read_labels, resolve_contract
from compiler.dataset import arrange
from compiler.golden import channel_axis, make_baseline
from compiler.measure import Step, measure_candidates, measure_reference, real_inputs
from compiler.packing import Order, check_order, describe, pack_bundle
from compiler.read_data import open_data
from compiler.report import write_report
from compiler.result import Compiled
from compiler.split import split
from compiler.verify import prove

Stage = Callable[[str, int | None], AbstractContextManager[Step]]
"""Opens a progress bar with a label and a number of steps (None: unknown)."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for; paths as given."""

    model: str
    data: Path
    order: Order
    input_file: Path | None = None
    labels_file: Path | None = None
    label_column: str = "label"
    max_drop: float = MAX_DROP
    golden_from_data: bool = False


def compile_model(request: Request, *, stage: Stage, warn: Callable[[str], None]) -> Compiled:
    """Compile, prove and pack: the main path of this part.

    Args:
        request: what to compile, with what data, for what.
        stage: opens a progress bar.
        warn: is told at once what looks wrong but is no error.

    Raises: the EdgeError family; no bundle is written unless everything held.
    """
    started = time.monotonic()
    check_order(request.order)
    target = compilable_target(request.order.target)
    data = open_data(request.data, label_column=request.label_column)
    labels = read_labels(request.labels_file) if request.labels_file else ()
    with stage("loading the model", None):
        model = check_classifier(load_model(request.model))

    resolved = resolve_contract(model, data, request.input_file, beside(request.model))
    contract = resolved.contract
    samples = arrange(data, contract, labels=labels or resolved.labels, outputs=model.outputs)
    parts = split(samples.digests)
    warnings = judge_split(parts)

    with stage("float reference", len(parts.held_out)) as step:
        reference, statistics = measure_reference(model, contract, samples, parts.held_out, step)
    warnings += judge_reference(reference, samples, contract)

    for warning in warnings:
        warn(warning)

    with stage("building candidates", None):
        candidates, skipped = build_candidates(
            model,
            calibration=lambda: real_inputs(model, contract, samples, parts.calibration),
            target=target,
            progress=lambda _: None,
        )
    with stage("measuring candidates", len(candidates) * len(parts.held_out)) as step:
        measured = measure_candidates(
            candidates, reference=reference, contract=contract, samples=samples, indices=parts.held_out, step=step
        )
    choice = choose(measured, target, max_drop=request.max_drop)
    taken = [measured[index] for index in choice.taken]

    axis = channel_axis(contract, model.layout)
    pool = real_inputs(model, contract, samples, parts.held_out) if request.golden_from_data else None
    with stage("verifying on every runtime", None):
        proof = prove([one.candidate for one in taken], pool=pool, statistics=statistics, contract=contract, axis=axis)

    baseline = make_baseline(taken[0].scores, len(samples.classes), statistics, axis)
    recipe = {
        "calibration": f"{len(parts.calibration)} samples, lowest sha256 of the content",
        "golden": "from the data" if request.golden_from_data else "synthetic, from input statistics",
        "max_drop": f"{request.max_drop:g}",
    }
    manifest = describe(
        request.order,
        model,
        contract=contract,
        samples=samples,
        taken=taken,
        tolerance=proof.tolerance,
        recipe=recipe,
    )
    bundle = pack_bundle(request.order, manifest, taken, proof.golden, baseline)
    compiled = Compiled(
        bundle=bundle,
        size_bytes=bundle.stat().st_size,
        manifest=manifest,
        target=target,
        resolved=resolved,
        samples=samples,
        split=parts,
        reference=reference,
        measured=measured,
        skipped=tuple(skipped),
        choice=choice,
        verified=proof.results,
        warnings=warnings,
        seconds=time.monotonic() - started,
    )
    write_report(compiled)
    return compiled
