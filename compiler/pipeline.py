"""Model -> bundle: load, split, search on select, choose, place, prove on report, judge, verify, pack."""

import time
from collections.abc import Callable, Sequence

from compiler.budget import insist, judge
from compiler.candidate import Candidate
from compiler.choose import choose
from compiler.explain.layer_by_layer import look_at_layers
from compiler.golden import make_baseline
from compiler.ground import Ground, lay_ground
from compiler.host import is_this_kind
from compiler.inputs import real_inputs, statistics_of
from compiler.measure import measuring
from compiler.objection import objection
from compiler.opening import Request
from compiler.packing import check_order, describe, pack_bundle, recipe_of
from compiler.placement.npu_candidates import add_npu, for_cpu
from compiler.placement.place import chooses_from
from compiler.placement.settle import settle
from compiler.placement.simulated import Simulators
from compiler.prediction import Predictor, no_prediction
from compiler.prove import prove_quality
from compiler.report import write_report
from compiler.result import Compiled
from compiler.run import run_as_counted
from compiler.search import Found, search
from compiler.stage import Stage
from compiler.verify import Proof, prove

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
    target, select = ground.target, ground.select

    found = _search(request, ground, simulators, stage=stage, warn=warn, predict=predict)
    choice = choose(
        found.measured,
        chooses_from(target),
        request.budget,
        report_samples=len(ground.parts.report),
        here=is_this_kind(ground.here.arch),
    )
    settled = settle(found.measured, choice, target, no_fallback=request.no_fallback, ledgers=simulators.ledgers)
    for trap in settled.traps:
        warn(trap)

    proved = prove_quality(
        ground.report, settled.measured, choice, yardstick=ground.yardstick, stage=stage, open_one=simulators.open
    )
    taken = [proved[index] for index in choice.taken]
    judgement = judge(taken[0], request.budget)
    for doubt in insist(judgement, request.budget, list(proved.finalists.values())):
        warn(doubt)

    golden = _prove_golden(request, ground, [one.candidate for one in taken], simulators, stage=stage)
    seen = taken[0].scores
    if select.model.state or select.task == "anomaly":
        seen = run_as_counted(taken[0].candidate, ground.report, simulators.open)
    baseline, edges = make_baseline(seen, select, statistics=statistics_of(ground.report), axis=ground.axis)
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
        recipe=recipe_of(
            ground.calibrate.usual(), ground.parts, request.budget, golden_from_data=request.golden_from_data
        ),
    )
    with stage("looking at layers", None):
        runtime = taken[0].candidate.runtime
        layers = look_at_layers(found.measured, runtime, ground.calibration, effort=request.scope.effort)

    bundle = pack_bundle(request.order, manifest, packed, golden.golden, baseline)
    compiled = Compiled(
        bundle=bundle,
        size_bytes=bundle.stat().st_size,
        manifest=manifest,
        request=request,
        target=target,
        resolved=ground.resolved,
        report_part=ground.report.samples,
        split=ground.parts,
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


def _search(
    request: Request,
    ground: Ground,
    simulators: Simulators,
    *,
    stage: Stage,
    warn: Callable[[str], None],
    predict: Predictor,
) -> Found:
    """Build and measure candidates for what stands in for the target, and then for its NPU."""
    select, here, enough = ground.select, ground.here, len(ground.parts.report)
    measure = measuring(
        select, reference=ground.reference, yardstick=ground.yardstick, predict=ground.predictor(predict), stage=stage
    )
    found = search(
        select,
        calibration=ground.calibration,
        calibrated=ground.calibrate.usual().samples.digests,
        target=here,
        scope=for_cpu(request.scope),
        measure=measure,
        fine=lambda one: not objection(one, here, request.budget, report_samples=enough),
        stage=stage,
    )
    return add_npu(
        found,
        simulators,
        ground.target,
        scope=request.scope,
        calibration=ground.calibration,
        measure=measure,
        progress=warn,
        stage=stage,
    )


def _prove_golden(
    request: Request, ground: Ground, candidates: Sequence[Candidate], simulators: Simulators, *, stage: Stage
) -> Proof:
    """Make golden samples from what the select part looks like, or from itself if that was asked for."""
    statistics = statistics_of(ground.select)
    pool = real_inputs(ground.select) if request.golden_from_data else None
    with stage("verifying on every runtime", None):
        return prove(
            candidates,
            pool=pool,
            statistics=statistics,
            subject=ground.select,
            axis=ground.axis,
            open_one=simulators.open,
        )
