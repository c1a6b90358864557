"""The contract of a compile: what it may cost, and whether it is kept, broken, or not provable with these samples."""

from dataclasses import dataclass
from math import ceil

from compiler.drop_bounds import needed, upper95
from compiler.measure import Measured
from compiler.words import milliseconds, points
from edge.errors import BudgetBrokenError, BudgetUnprovenError
from edge.manifest import Latency, Verdict

MAX_DROP = 0.01
OPTIONS = 3


@dataclass(frozen=True, slots=True)
class Budget:
    """What was asked for. Without --max-drop one point is the aim, and a bundle that may miss it says so."""

    max_drop: float = MAX_DROP
    max_ms: float | None = None
    asked: bool = False
    """The drop was given with --max-drop: it must be proven."""
    accept_unproven: bool = False


@dataclass(frozen=True, slots=True)
class Clause:
    """One promise, what became of it, and the sentence that says so."""

    promise: str
    verdict: Verdict
    sentence: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """All promises of a compile; `drop` is always there, `latency` only with --max-ms."""

    drop: Clause
    latency: Clause | None = None

    @property
    def clauses(self) -> tuple[Clause, ...]:
        """Those there are."""
        return (self.drop,) if self.latency is None else (self.drop, self.latency)

    @property
    def verdict(self) -> Verdict:
        """The worst of them."""
        found = {clause.verdict for clause in self.clauses}
        return "broken" if "broken" in found else "unproven" if "unproven" in found else "kept"


def judge(one: Measured, budget: Budget) -> Judgement:
    """Hold a candidate, measured on the report part, against the budget."""
    latency = None if budget.max_ms is None else _judge_latency(one.predicted, budget.max_ms)
    return Judgement(_judge_drop(one, budget), latency)


def judge_drop(one: Measured, budget: Budget) -> Verdict:
    """kept: the one-sided 95 % upper bound of the drop is within the budget. broken: the drop itself is beyond it.

    Where nobody asked for a budget, broken means that even the lower bound is beyond it. Everything else is unproven.
    """
    quality = one.quality
    if upper95(one) <= budget.max_drop:
        return "kept"
    least = quality.drop if budget.asked else min(quality.drop, quality.ci95[0])
    return "broken" if least > budget.max_drop else "unproven"


def insist(judgement: Judgement, budget: Budget, proved: list[Measured]) -> tuple[str, ...]:
    """Return what to warn of; refuse what was asked for and is not kept.

    `proved`: the chosen candidate first, then others that were measured on the report part too.

    Raises:
        BudgetBrokenError: with the nearest options.
        BudgetUnprovenError: unless it is accepted, or nobody asked for a budget.

    """
    problems = "; ".join(clause.sentence for clause in judgement.clauses if clause.verdict != "kept")
    if judgement.verdict == "broken":
        raise BudgetBrokenError(
            f"the budget is broken: {problems}",
            remedy="allow more, or give a model that loses less; no bundle was written",
            options=options(proved, budget),
        )
    asked = [judgement.drop] * budget.asked + [judgement.latency] * (judgement.latency is not None)
    if any(clause is not None and clause.verdict == "unproven" for clause in asked) and not budget.accept_unproven:
        raise BudgetUnprovenError(
            f"the budget cannot be proven: {problems}",
            remedy="give what is missing, or pack it as it is, marked so, with --accept-unproven",
            options=options(proved, budget),
        )
    return () if judgement.verdict == "kept" else (f"unproven: {problems}",)


def options(proved: list[Measured], budget: Budget) -> list[str]:
    """The nearest budgets that candidates do keep, by what the report part showed; the cheapest change first."""
    ranked = sorted(proved, key=lambda one: (_missing(one, budget), proved.index(one)))
    return [_option(one, budget) for one in ranked[:OPTIONS]]


def _missing(one: Measured, budget: Budget) -> float:
    """By how much a candidate misses the budget, as shares of it."""
    drop = max(0.0, upper95(one) - budget.max_drop) / max(budget.max_drop, 0.001)
    if budget.max_ms is None:
        return drop
    return drop + (max(0.0, one.predicted.high / budget.max_ms - 1) if one.predicted else 10.0)


def _option(one: Measured, budget: Budget) -> str:
    quality = one.quality
    words = [f"--max-drop {max(1, ceil(1e4 * upper95(one) - 1e-9)) / 100:.2f}%"]
    if budget.max_ms is not None and one.predicted is not None:
        words.append(f"--max-ms {ceil(10 * one.predicted.high) / 10:g}")
    return (
        f"{one.candidate.title}: drop {points(quality.drop)}, at most {points(upper95(one))}"
        f"{f', {milliseconds(one.predicted)}' if one.predicted else ''}; {' '.join(words)}"
    )


def _judge_drop(one: Measured, budget: Budget) -> Clause:
    quality, verdict = one.quality, judge_drop(one, budget)
    found = f"{quality.metric} drops by {points(quality.drop)} on {quality.samples} samples"
    bound, allowed = points(upper95(one)), points(budget.max_drop)
    promise = f"drop of the {quality.metric} at most {allowed}"
    if verdict == "kept":
        return Clause(promise, verdict, f"{found}, at most {bound} with 95 % confidence; {allowed} are allowed")
    if verdict == "broken":
        return Clause(promise, verdict, f"{found}, and {allowed} are allowed")
    count = needed(one, budget.max_drop)
    more = (
        f"about {count} samples in the report part would prove it if they go on like this"
        if count is not None
        else "and no number of samples like these would prove it"
    )
    return Clause(promise, verdict, f"{found}, which cannot rule out {bound}; {allowed} are allowed, {more}")


def _judge_latency(predicted: Latency | None, max_ms: float) -> Clause:
    promise = f"at most {max_ms:g} ms"
    if predicted is None:
        return Clause(
            promise, "unproven", f"nobody can say how long it takes on this core, and {max_ms:g} ms are allowed"
        )
    found = f"{milliseconds(predicted)} on {predicted.core}, and {max_ms:g} ms are allowed"
    if predicted.high <= max_ms:
        return Clause(promise, "kept", found)
    return Clause(promise, "broken" if predicted.ms > max_ms else "unproven", found)
