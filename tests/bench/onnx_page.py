"""What the node tests found: as importer.json for programs, and as importer.md, a page whose tables can be quoted."""

from collections import Counter, defaultdict
from typing import Literal

import msgspec

Outcome = Literal["agrees", "differs", "refused", "failed"]


class CaseResult(msgspec.Struct, frozen=True):
    """One case, taken to LiteRT."""

    name: str
    kinds: tuple[str, ...]
    outcome: Outcome
    detail: str
    """The reason, or the largest error."""
    error: float | None = 0.0
    """Largest; None: shapes, infinities or NaN differ, for JSON knows no infinity."""


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """All cases of the claimed operators."""

    tolerance: float
    cases: tuple[CaseResult, ...]
    not_run_yet: tuple[str, ...]
    left_out: dict[str, str]
    """Name of the case -> why it is not one for TFLite."""


def write_page(results: Results) -> str:
    """Return the page in Markdown."""
    ran = [one for one in results.cases if one.outcome in {"agrees", "differs"}]
    agree = [one for one in ran if one.outcome == "agrees"]
    worst = max((one.error or 0.0 for one in agree), default=0.0)
    counts = Counter(one.outcome for one in results.cases)
    parts = [
        "# ONNX to TFLite: the onnx package's node tests\n",
        "`python tests/bench/onnx_node_tests.py docs/benchmarks` writes this page. Each case is simplified, imported,"
        " converted with litert-torch, run on LiteRT, and compared with the outputs that the onnx package states."
        " TFLite's ADD ends at the largest finite number: that counts as infinity where infinity is expected.\n",
        f"- Ran: **{len(ran)}**, of which **{len(agree)}** agree within {results.tolerance:g}"
        f" (largest error {worst:.1e}).",
        f"- Refused with a reason: {counts['refused']}. The converter or the runtime failed: {counts['failed']}."
        f" Not run yet: {len(results.not_run_yet)}.",
        f"- Not for TFLite, so not run: {len(results.left_out)} (below).\n",
        _outcome_section("Differ", results, "differs"),
        _outcome_section("Failed", results, "failed"),
        _outcome_section("Refused", results, "refused"),
        _left_out_section(results),
        _operator_section(results),
    ]
    return "\n".join(part for part in parts if part)


def _outcome_section(title: str, results: Results, outcome: Outcome) -> str:
    chosen = [one for one in results.cases if one.outcome == outcome]
    if not chosen:
        return ""
    by_detail: defaultdict[str, list[str]] = defaultdict(list)
    for one in chosen:
        by_detail[one.detail].append(one.name)
    rows = "".join(f"| {_cell(detail)} | {', '.join(names)} |\n" for detail, names in by_detail.items())
    return f"## {title}\n\n| Why | Cases |\n| --- | --- |\n{rows}"


def _left_out_section(results: Results) -> str:
    rows = "".join(f"| {reason} | {count} |\n" for reason, count in Counter(results.left_out.values()).most_common())
    return f"## Not for TFLite\n\n| Why | Cases |\n| --- | --- |\n{rows}"


def _operator_section(results: Results) -> str:
    """Count the cases that hold nothing but one operator."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in results.cases:
        counts[one.kinds[0] if len(one.kinds) == 1 else "several operators"][one.outcome] += 1
    rows = "".join(
        f"| {kind} | {by['agrees']} | {by['differs'] + by['failed']} | {by['refused']} |\n"
        for kind, by in sorted(counts.items(), key=lambda item: (item[0] == "several operators", item[0]))
    )
    return f"## By operator\n\n| Operator | Agree | Differ or failed | Refused |\n| --- | --- | --- | --- |\n{rows}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
