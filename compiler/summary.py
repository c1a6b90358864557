"""The few lines that a person gets on stdout."""

from rich.console import Group
from rich.table import Table
from rich.text import Text

from compiler.drop_bounds import upper95
from compiler.evaluate import Evaluation
from compiler.result import Compiled
from compiler.table import render, table
from compiler.words import kib, value

CLASSES_SHOWN = 12
UNTOUCHED = "the model was quantized by its maker and is packed as it is: what that cost cannot be seen from it"


def summarize(compiled: Compiled) -> str:
    """A table of the candidates, the reason for the choice, and where everything lies."""
    return render(Group(_candidates(compiled), *(Text(line) for line in _sentences(compiled))))


def summarize_evaluation(evaluation: Evaluation) -> str:
    """A table of the variants."""
    manifest = evaluation.bundle.manifest
    rows = table("variant", evaluation.metric, "same decision", "latency here")
    for one in evaluation.variants:
        rows.add_row(
            f"{one.variant.runtime} {one.variant.dtype}",
            value(evaluation.metric, one.value),
            f"{one.agreement:.2%}",
            f"{one.timing.ms:.3f} ms ({one.timing.low:.3f}..{one.timing.high:.3f})",
        )
    yardstick = evaluation.yardstick
    lines = [
        f"{manifest.name} version {manifest.version} on {evaluation.samples} samples; decisions compared with those of "
        f"{yardstick.dtype} on {yardstick.runtime}",
        *evaluation.missing,
    ]
    return render(Group(rows, *(Text(line) for line in lines)))


def _parts(compiled: Compiled) -> str:
    parts = compiled.split
    return f"{len(parts.calibrate)} samples calibrate, {len(parts.select)} choose, {len(parts.report)} prove"


def _task(compiled: Compiled) -> str:
    return f"task: {compiled.manifest.task}"


def _classes(names: tuple[str, ...]) -> str:
    shown = [f"{index} {name}" for index, name in enumerate(names[:CLASSES_SHOWN])]
    return ", ".join(shown) + (f" ... {len(names) - 1} {names[-1]}" if len(names) > CLASSES_SHOWN else "")


def _candidates(compiled: Compiled) -> Table:
    metric = compiled.main.quality.metric
    rows = table("", "candidate", "size", metric, "lost, 95 %", "at most", "same decision", "latency here")
    for index, one in enumerate(compiled.measured):
        role = compiled.choice.role(index)
        quality, timing = one.quality, one.timing
        rows.add_row(
            role,
            f"{one.candidate.runtime} {one.candidate.dtype}",
            kib(len(one.candidate.data)),
            value(metric, quality.compiled) + ("" if compiled.proved(one) else " (select)"),
            f"{100 * quality.drop:+.2f} ({100 * quality.ci95[0]:+.2f}..{100 * quality.ci95[1]:+.2f})",
            f"{100 * upper95(one):+.2f}",
            f"{quality.agreement:.2%}",
            "simulated" if timing.simulated else f"{timing.ms:.3f} ms ({timing.low:.3f}..{timing.high:.3f})",
            style="bold" if role == "runs" else "dim" if not role else "",
        )
    return rows


def _sentences(compiled: Compiled) -> list[str]:
    quality = compiled.main.quality
    left_out = [
        f"{one.candidate.title}: {reason}"
        for index, (one, reason) in enumerate(zip(compiled.measured, compiled.choice.reasons, strict=True))
        if index != compiled.choice.main
    ]
    return [
        *[f"{clause.verdict}: {clause.sentence}" for clause in compiled.judgement.clauses],
        *([UNTOUCHED] if compiled.untouched else []),
        f"{'model as given' if compiled.untouched else 'float model'} {value(quality.metric, quality.reference)} "
        f"on the report part; {_parts(compiled)}; "
        f"input from {compiled.resolved.origin}",
        f"classes: {_classes(compiled.manifest.labels)}" if compiled.manifest.labels else _task(compiled),
        f"chosen: {compiled.choice.sentence}",
        *left_out,
        *[f"{one.dtype} on {one.runtime} was not built: {one.reason}" for one in compiled.skipped],
        f"wrote {compiled.bundle} ({kib(compiled.size_bytes)}) and {compiled.report / 'report.html'}",
    ]
