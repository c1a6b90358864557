"""The few lines that a person gets on stdout."""

import shutil
import sys
from io import StringIO

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from compiler.budget import upper95
from compiler.evaluate import Evaluation
from compiler.result import Compiled
from edge.manifest import MetricName

CLASSES_SHOWN = 12
WORDS = {"", "candidate", "variant", "plan"}
"""Titles of columns that hold words."""
UNTOUCHED = "the model was quantized by its maker and is packed as it is: what that cost cannot be seen from it"


def summarize(compiled: Compiled) -> str:
    """A table of the candidates, the reason for the choice, and where everything lies."""
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
    quality = compiled.main.quality
    left_out = [
        f"{one.candidate.dtype} on {one.candidate.runtime}: {reason}"
        for index, (one, reason) in enumerate(zip(compiled.measured, compiled.choice.reasons, strict=True))
        if index != compiled.choice.main
    ]
    built = [f"{one.dtype} on {one.runtime} was not built: {one.reason}" for one in compiled.skipped]
    lines = [
        *[f"{clause.verdict}: {clause.sentence}" for clause in compiled.judgement.clauses],
        *([UNTOUCHED] if compiled.untouched else []),
        f"{'model as given' if compiled.untouched else 'float model'} {value(metric, quality.reference)} "
        f"on the report part; {_parts(compiled)}; "
        f"input from {compiled.resolved.origin}",
        f"classes: {_classes(compiled.manifest.labels)}" if compiled.manifest.labels else _task(compiled),
        f"chosen: {compiled.choice.sentence}",
        *left_out,
        *built,
        f"wrote {compiled.bundle} ({kib(compiled.size_bytes)}) and {compiled.report / 'report.html'}",
    ]
    return render(Group(rows, *(Text(line) for line in lines)))


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


def render(content: RenderableType) -> str:
    """Return what rich would print on stdout, coloured only on a terminal."""
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else 120
    text = StringIO()
    Console(file=text, force_terminal=terminal, width=max(width, 100)).print(content, soft_wrap=False)
    return text.getvalue().rstrip()


def value(metric: MetricName, number: float) -> str:
    """Write what a metric says: a share, or for an error or a correlation the number."""
    return f"{number:.5g}" if metric in {"mae", "correlation"} else f"{number:.2%}"


def kib(size_bytes: int) -> str:
    """Write a size as KiB or MiB."""
    return f"{size_bytes / 2**20:.1f} MiB" if size_bytes >= 2**20 else f"{size_bytes / 1024:.1f} KiB"


def table(*titles: str) -> Table:
    """Columns of words to the left, of numbers to the right."""
    made = Table(box=None, pad_edge=False, header_style="dim")
    for title in titles:
        made.add_column(title, justify="left" if title in WORDS else "right", no_wrap=title != "plan")
    return made


def _parts(compiled: Compiled) -> str:
    parts = compiled.split
    return f"{len(parts.calibrate)} samples calibrate, {len(parts.select)} choose, {len(parts.report)} prove"


def _task(compiled: Compiled) -> str:
    return f"task: {compiled.manifest.task}"


def _classes(names: tuple[str, ...]) -> str:
    shown = [f"{index} {name}" for index, name in enumerate(names[:CLASSES_SHOWN])]
    return ", ".join(shown) + (f" ... {len(names) - 1} {names[-1]}" if len(names) > CLASSES_SHOWN else "")
