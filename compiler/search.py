"""Finds out what the model can become: builds plans and measures each on the select part, the only one it sees.

Cheap plans come first. Nothing is built twice: what a plan makes of a model and its calibration samples is kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from compiler.cache import Cache, code_digest, key_of
from compiler.candidate import Builder, Calibration, Candidate, Skipped
from compiler.measure import Measured, Predictor, Scores, host_core, measure_candidates
from compiler.packing import tool_versions
from compiler.plan import Effort, Plan, plans, runtimes_for
from compiler.stage import Stage
from compiler.subject import Subject
from compiler.yardstick import Yardstick
from edge.errors import BadModelError, MissingExtraError
from edge.target import Target


@dataclass(frozen=True, slots=True)
class Scope:
    """What to try."""

    effort: Effort = "normal"
    plans: tuple[Plan, ...] = ()
    """If given, exactly these: a recipe is built again. Else what the effort says."""
    cache: Cache = field(default_factory=lambda: Cache(None))


@dataclass(frozen=True, slots=True)
class Found:
    """Every candidate, measured, and those that could not be built."""

    measured: tuple[Measured, ...]
    skipped: tuple[Skipped, ...]


def search(
    subject: Subject,
    *,
    calibration: Calibration,
    calibrated: Sequence[bytes],
    target: Target,
    scope: Scope,
    reference: Scores,
    yardstick: Yardstick,
    predict: Predictor,
    stage: Stage,
) -> Found:
    """Build all candidates of the scope and measure them.

    Args:
        subject: the select part.
        calibration: yields the inputs of the calibrate part.
        calibrated: digests of its samples, by which a built candidate is known again.
        target: the kind of device.
        scope: what to try.
        reference: the float model on the select part.
        yardstick: the metric, and how to decide.
        predict: says what a candidate takes on the target's core.
        stage: opens a progress bar.

    Raises: BadModelError if nothing can be built.

    """
    wanted = planned(subject, target, scope)
    builder = Builder(subject.model, calibration)
    digests = sorted(digest.hex() for digest in calibrated)
    known = (code_digest(), tool_versions(), host_core(), subject.model.sha256, subject.contract, digests)
    built: list[Candidate] = []
    skipped: list[Skipped] = []
    failures: list[BadModelError | MissingExtraError] = []
    with stage("building candidates", len(wanted)) as step:
        for plan in wanted:
            try:
                built.append(_build(plan, builder, scope.cache, key_of("candidate", str(plan), *known)))
            except (BadModelError, MissingExtraError) as exc:
                failures.append(exc)
                skipped.append(Skipped(plan.runtime, plan.precision, exc.problem))
            step()
    candidates = different(built)
    if not candidates:
        raise failures[0] if failures else _unreachable(subject, target)
    with stage("measuring candidates", len(candidates) * len(subject.samples)) as step:
        measured = measure_candidates(
            candidates, subject=subject, reference=reference, yardstick=yardstick, predict=predict, step=step
        )
    return Found(measured, tuple(skipped))


def planned(subject: Subject, target: Target, scope: Scope) -> list[Plan]:
    """List the plans to build, runtime by runtime; one for each format of a source that is quantized already."""
    runtimes = runtimes_for(subject.model.kind, target, quantized=subject.model.quantized)
    if subject.model.quantized:
        return [Plan(runtime, "int8") for runtime in runtimes]
    wanted = scope.plans or plans(subject.model.kind, target, scope.effort)
    return sorted(wanted, key=lambda plan: target.runtimes.index(plan.runtime))


def different(built: Sequence[Candidate]) -> list[Candidate]:
    """Leave out what is the same file as one before it: a pass that does not help leaves no trace."""
    seen: dict[tuple[str, str], Candidate] = {}
    for one in built:
        seen.setdefault((one.runtime, one.variant.sha256), one)
    return list(seen.values())


def _build(plan: Plan, builder: Builder, cache: Cache, key: str) -> Candidate:
    make: Callable[[], bytes] = lambda: msgspec.msgpack.encode(builder.build(plan))  # noqa: E731
    return msgspec.msgpack.decode(cache.remember(key, make), type=Candidate)


def _unreachable(subject: Subject, target: Target) -> BadModelError:
    return BadModelError(
        f"{target.name} runs {', '.join(target.runtimes)}, and a {subject.model.kind} model reaches none of them",
        remedy="give a .pt2 or file.py:function, which compile for every runtime",
    )
