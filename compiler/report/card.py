"""card.md: what the model is, what it was held against, and what nobody measured. It does not change from run to run.

Headings follow "Model Cards for Model Reporting" (Mitchell et al., FAT* 2019), without those that only its maker knows.
"""

from compiler.measure import Measured
from compiler.report.steps import steps
from compiler.result import Compiled
from compiler.summary import UNTOUCHED
from compiler.words import kib, milliseconds, points, value
from edge.manifest import Manifest

ASK = "Who trained it, on what, and for whom it is meant, is not in the file: ask its maker."


def make_card(compiled: Compiled) -> str:
    """Return the card of a finished compile, as Markdown."""
    manifest = compiled.manifest
    sections = {
        "What it is": _what(compiled),
        "Input": _input(compiled),
        "Data": _data(compiled),
        "Quality": _quality(compiled),
        "Latency": _latency(compiled),
        "Limits": _limits(compiled),
        "Provenance": _provenance(manifest),
    }
    parts = [f"# {manifest.name} {manifest.version}"]
    parts += [f"## {title}\n\n" + "\n".join(lines) for title, lines in sections.items()]
    return "\n\n".join(parts) + "\n"


def _what(compiled: Compiled) -> list[str]:
    manifest = compiled.manifest
    classes = f", {len(manifest.labels)} classes: {', '.join(manifest.labels)}" if manifest.labels else ""
    return [
        f"- Task: {manifest.task}{classes}",
        f"- Target: {compiled.target.title} (`{manifest.target}`)",
        *[
            f"- {'Runs' if one is compiled.main else 'Fallback'}: {one.candidate.dtype} on {one.candidate.runtime}, "
            f"{kib(len(one.candidate.data))}" + (f"; {one.candidate.note}" if one.candidate.note else "")
            for one in _taken(compiled)
        ],
        f"- Chosen: {compiled.choice.sentence}",
        "",
        ASK,
    ]


def _input(compiled: Compiled) -> list[str]:
    lines = ["The device makes the model's input exactly so; training must have done the same.", ""]
    return lines + [
        f"{at}. {fact.name}: {fact.value}" + (f" ({fact.detail})" if fact.detail else "")
        for at, fact in enumerate(steps(compiled.manifest.input), 1)
    ]


def _data(compiled: Compiled) -> list[str]:
    parts = compiled.split
    return [
        f"- sha256 of contents and labels: `{compiled.manifest.provenance.data_sha256}`",
        f"- {len(parts.calibrate)} samples set ranges, {len(parts.select)} chose, {len(parts.report)} proved; split by "
        "a hash of their content, so no copy lies in two parts",
        *[f"- Warning: {warning}" for warning in compiled.warnings],
    ]


def _quality(compiled: Compiled) -> list[str]:
    lines = ["| Variant | Metric | Float | Compiled | Lost | 95 % interval | Same decision |", "| --- " * 7 + "|"]
    for one in _taken(compiled):
        quality = one.quality
        low, high = (points(end) for end in quality.ci95)
        lines.append(
            f"| {one.candidate.dtype} on {one.candidate.runtime} | {quality.metric} "
            f"| {value(quality.metric, quality.reference)} | {value(quality.metric, quality.compiled)} "
            f"| {points(quality.drop)} | {low} to {high} | {quality.agreement:.2%} |"
        )
    clauses = [f"- **{one.verdict}** ({one.promise}): {one.sentence}" for one in compiled.judgement.clauses]
    return [*lines, "", f"Verdict on {compiled.main.quality.samples} samples that chose nothing:", "", *clauses]


def _latency(compiled: Compiled) -> list[str]:
    if not compiled.manifest.latency:
        return [f"Not known: nobody measured or could predict it on {compiled.target.title}."]
    return [
        f"- {milliseconds(one)} on {one.core}, {one.runtime}: {one.kind}. Source: {one.source}"
        for one in compiled.manifest.latency
    ]


def _limits(compiled: Compiled) -> list[str]:
    manifest = compiled.manifest
    kinds = {one.kind for one in manifest.latency}
    limits = ["Nothing says how it does on data that differ from these samples."]
    if compiled.untouched:
        limits.append(f"{UNTOUCHED[:1].upper()}{UNTOUCHED[1:]}; *float* in the table is the model as given.")
    if "measured" not in kinds:
        limits.append("No board has timed it; `edge bench` on one does.")
    if manifest.quality.verdict == "unproven":
        limits.append("Its verdict is *unproven*: these samples do not show that the budget is kept.")
    limits.append("Power, memory use and heat were not measured.")
    left = [f"{one.dtype} on {one.runtime} was not built: {one.reason}" for one in compiled.skipped]
    unheld = [f"{one.dtype} on {one.runtime} was not verified" for one in compiled.verified if not one.holds]
    return [f"- {line}" for line in (*limits, *left, *unheld)]


def _provenance(manifest: Manifest) -> list[str]:
    provenance = manifest.provenance
    return [
        f"- Source: sha256 `{provenance.source_sha256}`",
        *[f"- `{one.file}` ({one.runtime}): sha256 `{one.sha256}`" for one in manifest.variants],
        *[f"- {name.replace('_', ' ')}: {text}" for name, text in sorted(provenance.recipe.items())],
        "- Made with " + ", ".join(f"{tool} {version}" for tool, version in sorted(provenance.tools.items())),
    ]


def _taken(compiled: Compiled) -> list[Measured]:
    return [compiled.measured[index] for index in compiled.choice.taken]
