"""What `edge tune` prints: for scripts, and for people."""

from typing import Any

from rich.console import Group
from rich.text import Text

from compiler.plan import PERCENTILE, Plan, parse_plan
from compiler.table import render, table
from compiler.tuning.front import Gain, front, gains, unbeaten
from compiler.tuning.tried import Tried
from compiler.tuning.tune import Tuned
from compiler.words import kib


def tuned_to_json(tuned: Tuned) -> dict[str, Any]:
    """Build the object that `edge tune --json` prints."""
    best = unbeaten(tuned.tried)
    return {
        "study": tuned.quest.name,
        "storage": tuned.where,
        "target": tuned.bound.target,
        "runtime": tuned.bound.runtime,
        "unit": tuned.bound.unit,
        "tried": len(tuned.tried),
        "here": sorted(tuned.mine),
        "refused_here": tuned.refused,
        "exhausted": tuned.exhausted,
        "front": [
            {
                "plan": one.plan,
                "sqnr_db": one.sqnr_db,
                "drop": one.drop,
                "agreement": one.agreement,
                "cost": one.cost,
                "size_bytes": one.size_bytes,
                "predicted": one.predicted,
                "host": {"core": one.core, "ms": one.ms},
                "unbeaten": one in best,
                "normal": tuned.is_normal(one),
            }
            for one in front(tuned.tried)
        ],
        "gains": [
            {"runtime": gain.runtime, "normal_db": gain.before.sqnr_db, "best_db": gain.after.sqnr_db}
            for gain in gains(tuned.tried, tuned.seeds)
        ],
        "seconds": round(tuned.seconds, 1),
    }


def summarize_tuned(tuned: Tuned) -> str:
    """A table of the front, what the search brought beyond --effort normal, and what to do next."""
    best, unit = unbeaten(tuned.tried), tuned.bound.unit
    rows = table("", "plan", "size", "SQNR", "lost", "same decision", *(["predicted"] if unit == "ms" else []))
    for one in front(tuned.tried):
        rows.add_row(
            "" if tuned.is_normal(one) else "new",
            short_plan(parse_plan(one.plan)),
            kib(one.size_bytes),
            f"{one.sqnr_db:.1f} dB",
            f"{100 * one.drop:+.2f}",
            f"{one.agreement:.2%}",
            *([_time(one)] if unit == "ms" else []),
            style="bold" if one in best else "dim",
        )
    ended = "; nothing is left to try" if tuned.exhausted else ""
    lines = [
        f"study {tuned.quest.name} at {tuned.where}: {len(tuned.tried)} plans tried by all workers, {len(tuned.mine)} "
        f"of them by this one in {tuned.seconds:.0f} s, {tuned.refused} could not be built{ended}",
        *(f"int8 on {gain.runtime}: {_gain(gain)}" for gain in gains(tuned.tried, tuned.seeds)),
        f"next: edge compile, with the same words and --study {tuned.where}: it proves the best of these on the report "
        "part, which no plan here has seen",
    ]
    return render(Group(rows, *(Text(line) for line in lines)))


def short_plan(plan: Plan) -> str:
    """Write a plan for a table: the number of float layers in place of their names."""
    words = [plan.runtime, plan.precision, plan.ranges if plan.ranges != "minmax" else ""]
    words += [f"{plan.percent:g}" if plan.percent != PERCENTILE else ""]
    words += [plan.activations if plan.activations != "int8" else "", "+".join(plan.passes)]
    words += [f"{len(plan.keep_float)} float" if plan.keep_float else ""]
    return " ".join(word for word in words if word)


def _time(one: Tried) -> str:
    """A prediction with its interval; of what nobody predicts, where it lies between int8 and float32."""
    if one.predicted is None:
        return f"about {one.cost:.3g} ms"
    return f"{one.predicted.ms:.3g} ms ({one.predicted.low:.3g}..{one.predicted.high:.3g})"


def _gain(gain: Gain) -> str:
    if gain.after.sqnr_db > gain.before.sqnr_db:
        return f"{gain.before.sqnr_db:.1f} dB by --effort normal, {gain.after.sqnr_db:.1f} dB by the search"
    return f"nothing better than --effort normal, {gain.before.sqnr_db:.1f} dB"
