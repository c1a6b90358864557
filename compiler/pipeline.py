"""Model -> bundle: load, split, search on select, choose, place, prove on report, judge, verify, pack."""

import time
from collections.abc import Callable

from compiler.budget import insist, judge
from compiler.choose import choose, objection
from compiler.explain.layer_by_layer import look_at_layers
from compiler.golden import make_baseline
from compiler.ground import lay_ground
from compiler.measure import (
    Predictor,
    is_this_kind,
    measuring,
    no_prediction,
    real_inputs,
    run_as_counted,
    statistics_of,
)
from compiler.opening import Request
from compiler.packing import check_order, describe, pack_bundle, recipe_of
from compiler.placement.place import chooses_from
from compiler.placement.settle import settle
from compiler.placement.simulated import Simulators, add_npu, for_cpu
from compiler.prove import prove_quality
from compiler.report import write_report
from compiler.result import Compiled
from compiler.search import search
from compiler.stage import Stage
from compiler.verify import prove

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
    with Simulators() as simulators:
        return _compile(request, simulators, stage=stage, warn=warn, predict=predict)


def _compile(
    request: Request, simulators: Simulators, *, stage: Stage, warn: Callable[[str], None], predict: Predictor
) -> Compiled:
    """Run the steps, one after the other; `simulators` stand in for an NPU that cannot run here."""
    started = time.monotonic()
    check_order(request.order)
    ground = lay_ground(request, stage=stage, warn=warn)
    target, here, parts, yardstick = ground.target, ground.here, ground.parts, ground.yardstick
    calibrate, select, report = ground.calibrate, ground.select, ground.report

    measure = measuring(
        select, reference=ground.reference, yardstick=yardstick, predict=ground.predictor(predict), stage=stage
    )
    found = search(
        select,
        calibration=ground.calibration,
        calibrated=calibrate.usual().samples.digests,
        target=here,
        scope=for_cpu(request.scope),
        measure=measure,
        fine=lambda one: not objection(one, here, request.budget, report_samples=len(parts.report)),
        stage=stage,
    )
    found = add_npu(
        found,
        simulators,
        target,
        scope=request.scope,
        calibration=ground.calibration,
        measure=measure,
        progress=warn,
        stage=stage,
    )
    choice = choose(
        found.measured,
        chooses_from(target),
        request.budget,
        report_samples=len(parts.report),
        here=is_this_kind(here.arch),
    )
    settled = settle(found.measured, choice, target, no_fallback=request.no_fallback, ledgers=simulators.ledgers)
    for trap in settled.traps:
        warn(trap)

    proved = prove_quality(report, settled.measured, choice, yardstick=yardstick, stage=stage, open_one=simulators.open)
    taken = [proved[index] for index in choice.taken]
    judgement = judge(taken[0], request.budget)
    for doubt in insist(judgement, request.budget, list(proved.finalists.values())):
        warn(doubt)

    statistics = statistics_of(select)
    pool = real_inputs(select) if request.golden_from_data else None
    with stage("verifying on every runtime", None):
        golden = prove(
            [one.candidate for one in taken],
            pool=pool,
            statistics=statistics,
            subject=select,
            axis=ground.axis,
            open_one=simulators.open,
        )
    seen = taken[0].scores
    if select.model.state or select.task == "anomaly":
        seen = run_as_counted(taken[0].candidate, report, simulators.open)
    baseline, edges = make_baseline(seen, select, statistics=statistics_of(report), axis=ground.axis)
    packed = settled.packed([one.candidate for one in taken])
    manifest = describe(
        request.order,
        select,
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
            ground.calibration,
            effort=request.scope.effort,
        )
    bundle = pack_bundle(request.order, manifest, packed, golden.golden, baseline)
    compiled = Compiled(
        bundle=bundle,
        size_bytes=bundle.stat().st_size,
        manifest=manifest,
        request=request,
        target=target,
        resolved=ground.resolved,
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
        warnings=ground.warnings + settled.traps,
        seconds=time.monotonic() - started,
    )
    write_report(compiled)
    return compiled
