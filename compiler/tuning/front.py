"""Which of the plans that were tried no other one beats. Pure, and the same whatever the order of the trials."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from compiler.plan import Plan, parse_plan
from compiler.tuning.tried import Tried
from edge.manifest import Precision, RuntimeName


def front(tried: Iterable[Tried]) -> tuple[Tried, ...]:
    """Those that no other of the same runtime and precision beats in both SQNR and cost; the cheapest first.

    A compile chooses by runtime and precision first, so each pair has a front of its own. Of two that are alike in both
    the shorter plan stays.
    """
    groups: dict[tuple[RuntimeName, Precision], list[Tried]] = {}
    for one in tried:
        plan = parse_plan(one.plan)
        groups.setdefault((plan.runtime, plan.precision), []).append(one)
    kept = [one for key in sorted(groups) for one in _front(groups[key])]
    return tuple(sorted(kept, key=lambda one: (parse_plan(one.plan).runtime, one.cost, -one.sqnr_db, one.plan)))


def unbeaten(tried: Sequence[Tried]) -> tuple[Tried, ...]:
    """Those that no other of the same runtime beats, whatever its precision: the curve that a person wants to see."""
    runtimes = sorted({parse_plan(one.plan).runtime for one in tried})
    return tuple(
        kept
        for runtime in runtimes
        for kept in _front([one for one in tried if parse_plan(one.plan).runtime == runtime])
    )


def front_plans(tried: Iterable[Tried]) -> tuple[Plan, ...]:
    """Return the plans of the front, for a compile."""
    return tuple(parse_plan(one.plan) for one in front(tried))


def _front(tried: Sequence[Tried]) -> list[Tried]:
    """Walk from cheap to dear, and keep what is better than everything cheaper."""
    kept: list[Tried] = []
    for one in sorted(tried, key=lambda one: (one.cost, -one.sqnr_db, len(one.plan), one.plan)):
        if not kept or one.sqnr_db > kept[-1].sqnr_db:
            kept.append(one)
    return kept


@dataclass(frozen=True, slots=True)
class Gain:
    """The best int8 file of one runtime, without and with the search."""

    runtime: RuntimeName
    before: Tried
    after: Tried


def gains(tried: Iterable[Tried], seeds: frozenset[str]) -> tuple[Gain, ...]:
    """Compare the best plan of an effort with the best of all, among int8: they are equally fast."""
    ints: dict[RuntimeName, list[Tried]] = {}
    for one in tried:
        plan = parse_plan(one.plan)
        if plan.precision == "int8":
            ints.setdefault(plan.runtime, []).append(one)
    best = {
        runtime: (_nearest([one for one in all_ if one.plan in seeds]), _nearest(all_))
        for runtime, all_ in ints.items()
    }
    return tuple(Gain(runtime, before, after) for runtime, (before, after) in sorted(best.items()) if before and after)


def _nearest(tried: Sequence[Tried]) -> Tried | None:
    return max(tried, key=lambda one: (one.sqnr_db, -len(one.plan), one.plan), default=None)
