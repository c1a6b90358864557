"""Finds out what the model can become: builds plans and measures each on the select part, the only one it sees.

Cheap plans come first. Nothing is built twice: what a plan makes of a model and its calibration samples is kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from compiler.builder import Builder
from compiler.cache import Cache, code_digest, installed, key_of
from compiler.candidate import Candidate, Skipped
from compiler.effort import Effort, learning_plans, plans, runtimes_for
from compiler.export.tflite_to_onnx import NOT_ASKED
from compiler.host import host_core
from compiler.inputs import real_inputs
from compiler.load import SourceModel
from compiler.measure import Measured, sqnr_of
from compiler.mixed import mixed_plans
from compiler.nearness import Nearness
from compiler.plan import Plan
from compiler.quantize.calibration import Calibration
from compiler.stage import Stage
from compiler.subject import Subject
from edge.errors import BadModelError, MissingExtraError
from edge.manifest import RuntimeName
from edge.target import Target

T = TypeVar("T")


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
    measure: Callable[[Sequence[Candidate]], tuple[Measured, ...]],
    fine: Callable[[Measured], bool],
    stage: Stage,
) -> Found:
    """Build all candidates of the scope and measure them; where int8 costs too much, try mixed ones, too.

    Args:
        subject: the select part.
        calibration: yields the inputs of the calibrate part.
        calibrated: digests of its samples, by which a built candidate is known again.
        target: the kind of device.
        scope: what to try.
        measure: measures candidates on the select part.
        fine: whether a candidate may be chosen as far as the budget goes.
        stage: opens a progress bar.

    Raises: BadModelError if nothing can be built.

    """
    shelf = Shelf(subject, calibration, calibrated, scope.cache)
    measure = shelf.near.after(measure)
    if subject.model.kind == "tflite" and not subject.model.quantized and "onnxruntime" in target.runtimes:
        shelf.skipped.append(Skipped("onnxruntime", "float32", NOT_ASKED))
    wanted = planned(subject.model, target, scope)
    with stage("building candidates", len(wanted)) as step:
        for plan in wanted:
            shelf.add(plan)
            step()
    if not shelf.candidates:
        raise shelf.failure or _unreachable(subject, target)
    measured = list(measure(shelf.candidates))
    if not scope.plans and not subject.model.quantized and scope.effort != "quick" and "mixed" in target.dtypes:
        for runtime in dict.fromkeys(plan.runtime for plan in wanted):
            measured += _refine(shelf, [one for one in measured if one.candidate.runtime == runtime], measure, fine)
    return Found(tuple(measured), tuple(shelf.skipped))


class Shelf:
    """Candidates by plan, each built once; what is the same file as one before it is left out."""

    def __init__(self, subject: Subject, calibration: Calibration, calibrated: Sequence[bytes], cache: Cache) -> None:
        digests = sorted(digest.hex() for digest in calibrated)
        self.builder = Builder(subject.model, calibration)
        self.kind, self.stateful = subject.model.kind, bool(subject.model.state)
        self.candidates: list[Candidate] = []
        self.skipped: list[Skipped] = []
        self.failure: BadModelError | MissingExtraError | None = None
        """The first one."""
        self.near = Nearness(lambda: real_inputs(subject), subject.samples.digests, cache, self.as_float)
        """By it every file of this model is ranked, whoever measures it."""
        self._cache = cache
        self._known = (code_digest(), installed(), host_core(), subject.model.identity, subject.contract, digests)

    def as_float(self, runtime: RuntimeName) -> Candidate:
        """Return the float file of a runtime, which is built even if no plan asked for it, as for an Ethos-U."""
        found = (one for one in self.candidates if (one.runtime, one.dtype) == (runtime, "float32"))
        return next(found, None) or self.build(Plan(runtime))

    def add(self, plan: Plan) -> Candidate | None:
        """Build one; None if it cannot be built, or is there already: a pass that does not help leaves no trace."""
        try:
            made = self.build(plan)
        except (BadModelError, MissingExtraError) as exc:
            self.failure = self.failure or exc
            self.skipped.append(Skipped(plan.runtime, plan.precision, exc.problem))
            return None
        if any((made.runtime, made.variant.sha256) == (one.runtime, one.variant.sha256) for one in self.candidates):
            return None
        self.candidates.append(made)
        return made

    def build(self, plan: Plan) -> Candidate:
        """Build one, or take it from the cache.

        Raises: BadModelError; MissingExtraError.
        """
        return self.remember(Candidate, ("candidate", str(plan)), lambda: self.builder.build(plan))

    def remember(self, kind: type[T], about: Sequence[object], make: Callable[[], T]) -> T:
        """Return what was made before of this model and these calibration samples, or make and keep it."""
        key = key_of(*about, *self._known)
        content = self._cache.remember(key, lambda: msgspec.msgpack.encode(make()))
        return msgspec.msgpack.decode(content, type=kind)


def _refine(
    shelf: Shelf,
    there: Sequence[Measured],
    measure: Callable[[Sequence[Candidate]], tuple[Measured, ...]],
    fine: Callable[[Measured], bool],
) -> list[Measured]:
    """Where no int8 plan of a runtime is fine: learn from the best one on, then mix precisions, until one is."""
    ints = [one for one in there if one.candidate.dtype == "int8" and one.candidate.plan is not None]
    if not ints or any(fine(one) for one in ints):
        return []
    best = max(ints, key=sqnr_of).candidate
    tried: list[Measured] = []
    for plan in learning_plans(best.plan or Plan(best.runtime, "int8"), shelf.kind, stateful=shelf.stateful):
        made = shelf.add(plan)
        tried += measure([made]) if made else ()
        if tried and fine(tried[-1]):
            return tried
    try:
        for plan in mixed_plans(shelf.builder, best.plan or Plan(best.runtime, "int8"), best.data):
            made = shelf.add(plan)
            tried += measure([made]) if made else ()
            if tried and fine(tried[-1]):
                break
    except BadModelError as exc:
        shelf.skipped.append(Skipped(best.runtime, "mixed", exc.problem))
    return tried


def planned(model: SourceModel, target: Target, scope: Scope) -> list[Plan]:
    """List the plans to build, runtime by runtime; one for each format of a source that is quantized already."""
    if model.quantized:
        return [Plan(runtime, "int8") for runtime in runtimes_for(model.kind, target, quantized=True)]
    wanted = scope.plans or plans(model.kind, target, scope.effort, stateful=bool(model.state))
    return sorted(wanted, key=lambda plan: target.runtimes.index(plan.runtime))


def _unreachable(subject: Subject, target: Target) -> BadModelError:
    return BadModelError(
        f"{target.name} runs {', '.join(target.runtimes)}, and a {subject.model.kind} model reaches none of them",
        remedy="give a .pt2 or file.py:function, which compile for every runtime",
    )
