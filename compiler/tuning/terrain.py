"""What a worker prepares once: the runtime to search on, what plans cost there, and how one is measured."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import get_args

from compiler.candidate import Candidate
from compiler.effort import Effort, plans, runtimes_for
from compiler.explain.layer_by_layer import explain_layers
from compiler.ground import Ground
from compiler.measure import Measured, measure_candidates, sqnr_of
from compiler.mixed import MOST_LAYERS, MOST_SHARE, bridged
from compiler.plan import Activations, Pass, Plan
from compiler.prediction import Predictor, no_prediction
from compiler.quantize.error import CEILING_DB
from compiler.search import Shelf
from compiler.tuning.cost import Yard, yard
from compiler.tuning.space import PASSES, Space
from compiler.tuning.tried import Tried
from edge.errors import BadArgumentError, BadModelError, MissingExtraError
from edge.manifest import RuntimeName


@dataclass(frozen=True, slots=True, eq=False)
class Terrain:
    """Where one worker searches."""

    ground: Ground
    shelf: Shelf = field(repr=False)
    predict: Predictor
    plain: Plan
    """Int8 with nothing done for it, on the runtime that is searched."""
    yard: Yard

    @property
    def runtime(self) -> RuntimeName:
        """Whose plans are searched."""
        return self.plain.runtime

    def seeds(self) -> tuple[Plan, ...]:
        """What every study begins with: the plans of --effort normal; of the other runtimes those of quick."""
        wanted = [plan for plan in self._plans("normal") if plan.runtime == self.runtime]
        return (*wanted, *(plan for plan in self._plans("quick") if plan.runtime != self.runtime))

    def rank_layers(self) -> tuple[str, ...]:
        """Name the layers that cost something in int8, the costliest first; none where mixed plans are not allowed."""
        bench = self.shelf.builder.bench(self.runtime)
        if "mixed" not in self.ground.here.dtypes or len(bench.reference.network.layers) > MOST_LAYERS:
            return ()

        def measure() -> list[str]:
            rows = explain_layers(bench, self.plain)
            costly = [row.name for row in rows if row.alone_db < CEILING_DB]
            return costly[: max(1, int(MOST_SHARE * len(rows)))]

        try:
            return tuple(self.shelf.remember(list[str], ("ranked", str(self.plain)), measure))
        except BadModelError:  # int8 plans are worth the search without them
            return ()

    def space(self, ranked: Sequence[str]) -> Space:
        """Return all integer plans of the runtime; `ranked`: layers that may stay float, the costliest first."""
        kinds = get_args(Activations) if self.runtime == "onnxruntime" else (self.plain.activations,)
        network = self.shelf.builder.bench(self.runtime).reference.network if ranked else None
        mixes = [bridged(ranked[:count], network) for count in range(1, len(ranked) + 1)] if network else []
        return Space(self.runtime, kinds, tuple(dict.fromkeys(mixes)), self._passes())

    def build(self, plan: Plan) -> Candidate:
        """Build one plan, or take it from the cache.

        Raises: BadModelError; MissingExtraError.
        """
        return self.shelf.build(plan)

    def measure(self, plan: Plan, candidate: Candidate) -> Tried:
        """Measure one file on the select part, or take what was measured of it on such a processor from the cache."""
        select, yardstick = self.ground.select, self.ground.yardstick
        about = (candidate.variant.sha256, candidate.runtime, select.samples.sha256, select.task, yardstick.metric.name)
        seen = self.shelf.remember(Tried, ("tried", *about), lambda: _tried(self._measured(candidate)))
        return self.retold(plan, candidate, seen)

    def retold(self, plan: Plan, candidate: Candidate, seen: Tried) -> Tried:
        """Say of a plan what is known of its file."""
        from msgspec.structs import replace

        predicted = self.predict(candidate.data, candidate.variant)
        cost = self.yard.cost(candidate, predicted, self.ground.here)
        return replace(seen, plan=str(plan), cost=cost, predicted=predicted, note=candidate.note)

    def _plans(self, effort: Effort) -> tuple[Plan, ...]:
        model = self.ground.select.model
        return plans(model.kind, self.ground.here, effort, stateful=bool(model.state))

    def _passes(self) -> tuple[Pass, ...]:
        """Name what may be tried: where an effort would keep the path of a state in float, that as well."""
        in_float = any("float-state" in plan.passes for plan in self._plans("quick"))
        return ("float-state", *PASSES) if in_float else PASSES

    def _measured(self, candidate: Candidate) -> Measured:
        """Measure one file as a compile would, so that a study ranks files as the compile after it does."""
        (found,) = self.shelf.near.after(self._measured_here)([candidate])
        return found

    def _measured_here(self, candidates: Sequence[Candidate]) -> tuple[Measured, ...]:
        return measure_candidates(
            candidates,
            subject=self.ground.select,
            reference=self.ground.reference,
            yardstick=self.ground.yardstick,
            predict=no_prediction,
            step=lambda: None,
        )


def survey(ground: Ground, shelf: Shelf, predict: Predictor) -> Terrain:
    """Find the target's first runtime on which the model computes in float and in int8.

    Raises:
        BadArgumentError: its maker quantized the model.
        BadModelError, MissingExtraError: no runtime will do.

    """
    model = ground.select.model
    if model.quantized:
        raise BadArgumentError(
            f"{model.name} was quantized by its maker: there is nothing to tune",
            remedy="give the float model; edge compile packs this one as it is",
        )
    failure: BadModelError | MissingExtraError | None = None
    predictor = ground.predictor(predict)
    for runtime in runtimes_for(model.kind, ground.here):
        plain = _plain(ground, runtime)
        if plain is None:
            continue
        try:
            known = yard(shelf.build(Plan(runtime)), shelf.build(plain), predictor)
        except (BadModelError, MissingExtraError) as exc:
            failure = failure or exc
            continue
        return Terrain(ground, shelf, predictor, plain, known)
    raise failure or BadModelError(
        f"there is nothing to tune: {ground.target.name} computes this model in no integers",
        remedy="compile it as it is, or for another target",
    )


def _plain(ground: Ground, runtime: RuntimeName) -> Plan | None:
    """Return int8 on a runtime with nothing done for it; None where the target has no int8."""
    wanted = plans(ground.select.model.kind, ground.here, "quick")
    kinds = [plan.activations for plan in wanted if plan.runtime == runtime and plan.precision == "int8"]
    return Plan(runtime, "int8", kinds[0]) if kinds else None


def _tried(one: Measured) -> Tried:
    """Measured -> what a study keeps; plan, cost and prediction are filled in by whoever asks."""
    quality = one.quality
    return Tried(
        plan="",
        sqnr_db=max(-CEILING_DB, min(sqnr_of(one), CEILING_DB)),
        drop=quality.drop,
        agreement=quality.agreement,
        cost=0.0,
        size_bytes=len(one.candidate.data),
        sha256=one.candidate.variant.sha256,
        predicted=None,
        ms=one.timing.ms,
        core=one.timing.core,
        note=one.candidate.note,
    )
