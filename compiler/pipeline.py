"""Model -> bundle: load, split, search on select, choose, place, prove on report, judge, verify, pack."""

import time
from collections.abc import Callable

from compiler.budget import insist, judge
from compiler.checks import compilable_target, judge_reference, judge_split
from compiler.choose import choose, objection
from compiler.explain.layer_by_layer import look_at_layers
from compiler.golden import channel_axis, make_baseline
from compiler.likeness import judge_likeness
from compiler.measure import (
    Predictor,
    measuring,
    no_prediction,
    real_inputs,
    run_every_step,
    run_reference,
    score,
    statistics_of,
)
from compiler.opening import Request, open_subject
from compiler.packing import check_order, describe, pack_bundle, recipe_of
from compiler.placement.place import stand_in
from compiler.placement.settle import settle
from compiler.prove import prove_quality
from compiler.report import write_report
from compiler.result import Compiled
from compiler.search import search
from compiler.split import split
from compiler.stage import Stage
from compiler.verify import prove
from compiler.yardstick import fit

__all__ = ["Request", "compile_model"]


def compile_model(
    request: Request, *, stage: Stage, warn: Callable[[str], None], predict: Predictor = no_prediction
) -> Compiled:
    """Compile, prove and pack: the main path of this part.

    Args:
        request: what to compile, with what data, for what.
        stage: opens a progress bar.
        warn: is told at once what looks wrong but is no error.
        predict: says how long a compiled file takes on the target's core.

    Raises: the EdgeError family; no bundle is written unless everything held.
    """
    started = time.monotonic()
    check_order(request.order)
    target = compilable_target(request.order.target)
    here = stand_in(target)
    predict_here = predict if here is target else no_prediction  # no prediction knows an NPU
    subject, resolved = open_subject(request, stage)
    parts = split(subject.samples.digests)
    warnings = judge_split(parts)
    calibrate, select, report = (subject.part(part) for part in (parts.calibrate, parts.select, parts.report))

    with stage("float reference", len(parts.select)) as step:
        run = run_reference(select, step)
    yardstick = fit(subject.task, request.metric, run.values, select.samples.truth)
    reference = score(run, select.samples, yardstick)
    axis = channel_axis(subject.contract, subject.model.layout)
    warnings += judge_reference(reference, select)
    warnings += judge_likeness(statistics_of(calibrate.usual()), statistics_of(select.usual()), axis)
    for warning in warnings:
        warn(warning)

    found = search(
        select,
        calibration=lambda: real_inputs(calibrate.usual()),
        calibrated=calibrate.usual().samples.digests,
        target=here,
        scope=request.scope,
        measure=measuring(select, reference=reference, yardstick=yardstick, predict=predict_here, stage=stage),
        fine=lambda one: not objection(one, here, request.budget, report_samples=len(parts.report)),
        stage=stage,
    )
    choice = choose(found.measured, here, request.budget, report_samples=len(parts.report))
    settled = settle(found.measured, choice, target, no_fallback=request.no_fallback)
    for trap in settled.traps:
        warn(trap)

    proved = prove_quality(report, settled.measured, choice, yardstick=yardstick, stage=stage)
    taken = [proved[index] for index in choice.taken]
    judgement = judge(taken[0], request.budget)
    for doubt in insist(judgement, request.budget, list(proved.finalists.values())):
        warn(doubt)

    statistics = statistics_of(select)
    pool = real_inputs(select) if request.golden_from_data else None
    with stage("verifying on every runtime", None):
        golden = prove([one.candidate for one in taken], pool=pool, statistics=statistics, subject=subject, axis=axis)
    seen = run_every_step(taken[0].candidate, report) if subject.model.state else taken[0].scores
    baseline, edges = make_baseline(seen, subject, select=reference, statistics=statistics_of(report), axis=axis)
    packed = settled.packed([one.candidate for one in taken])
    manifest = describe(
        request.order,
        subject,
        main=taken[0],
        packed=packed,
        tools=settled.tools,
        judgement=judgement,
        score_edges=edges,
        tolerance=golden.tolerance,
        recipe=recipe_of(calibrate.usual(), parts, request.budget, golden_from_data=request.golden_from_data),
    )
    with stage("looking at layers", None):
        layers = look_at_layers(
            found.measured,
            taken[0].candidate.runtime,
            lambda: real_inputs(calibrate.usual()),
            effort=request.scope.effort,
        )
    bundle = pack_bundle(request.order, manifest, packed, golden.golden, baseline)
    compiled = Compiled(
        bundle=bundle,
        size_bytes=bundle.stat().st_size,
        manifest=manifest,
        request=request,
        target=target,
        resolved=resolved,
        report_part=report.samples,
        split=parts,
        reference=proved.reference,
        measured=tuple(proved.finalists.get(index, one) for index, one in enumerate(settled.measured)),
        skipped=found.skipped,
        choice=settled.choice,
        judgement=judgement,
        placement=settled.placement,
        verified=golden.results,
        layers=layers,
        warnings=warnings + settled.traps,
        seconds=time.monotonic() - started,
    )
    write_report(compiled)
    return compiled
