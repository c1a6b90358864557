# ruff: noqa: E501 - it holds the lines of a page
"""Writes compiler.json for programs, and compiler.md, a page that answers the acceptance lines in plain words."""

from collections import defaultdict
from pathlib import Path

import msgspec
from answers import Duel, against_float_onnx, collapsed, duel, fastest_equal, judged, mean, paired
from cells import LIMIT_S, Cell
from results import Model, Ran, Results, Row

SIGNED = " The published file has no signature, so ai-edge-quantizer refuses it: it got the file as our loader modernises it."
UNITS = {
    "accuracy": "accuracy",
    "agreement": "agreement with float",
    "auc": "AUC",
    "correlation": "correlation with float",
}


def write(results: Results, folder: Path) -> None:
    """Write both."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "compiler.json").write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    (folder / "compiler.md").write_text(page(results), encoding="utf-8")


def written_before(folder: Path) -> Results | None:
    """What an earlier run left there."""
    path = folder / "compiler.json"
    return msgspec.json.decode(path.read_bytes(), type=Results) if path.exists() else None


def page(results: Results) -> str:
    """The page."""
    machine = results.machine
    return f"""# Benchmarks: our compiler and its peers

Written by `make bench-compiler` from `compiler.json` beside it; do not edit. Machine: {machine.processor}, {machine.cores} cores,
{machine.memory_gib:g} GiB, load average {machine.load_after:g} when this page was written: it was shared, so only ratios of times taken in turns count.

Every tool got the same float file (our own export of a torch network, else the file as published), the same calibrate part as float32
arrays, and is judged on the same report part, which ours does not see before. A cell (model x tool x setting) has {LIMIT_S // 60} minutes of CPU. One program
judges all files: onnxruntime for .onnx, LiteRT for .tflite, one thread. Ours is what `edge compile --target x86-64 --effort normal`
searches; in each format, the integer file that its rule takes there by the select part; where one of ours is compared, it is the one with
the higher SQNR on the select part, marked with a star. The *best peer* has the highest metric of all tools and settings, and of equal ones
the highest SQNR. *default* and *best* are each peer's
documented default and best documented setting; the head of each `tests/bench/compiler/peer_*.py` says which.

SQNR is that of the outputs, in dB. Where a .tflite file ends in a soft-max it is taken before it; onnxruntime files as they are.
{_answers(results)}
## Figures

*p* is two-sided, ours (the format marked with a star) against that file: exact McNemar test for accuracy, paired bootstrap otherwise.
*Time* is what a bundle of ours would run, divided by this file's time: below 1, ours is faster. *same* is the share of equal decisions
(without classes: of samples whose outputs correlate above .99). A file in **bold** has collapsed: it lost more than a point, .01 of AUC,
or its correlation is below .99; of a model that is judged by agreement, the correlation of its scores with float's.

{"".join(_model(model) for model in results.models)}{_missing(results)}
## What it was run with

{_environments(results)}
"""


# ---- answers


def _answers(results: Results) -> str:
    duels = [found for found in map(duel, results.models) if found is not None]
    alone = [model.name for model in results.models if duel(model) is None]
    lines = [
        _line_quality(duels),
        _line_near(duels),
        _line_default(duels),
        _line_collapse(results.models),
        _line_cost(results.models),
        _line_latency(results.models),
        _line_float(results.models),
        _line_effort(results.efforts, results.efforts_ran),
    ]
    if alone:
        lines.append(f"No peer gave a file for {', '.join(alone)}: nothing is compared there.")
    return "\n## Answers\n\n" + "\n".join(f"- {line}" for line in lines) + "\n"


def _names(duels: list[Duel]) -> str:
    return ", ".join(one.model.name for one in duels)


def _line_quality(duels: list[Duel]) -> str:
    worse = [one for one in duels if not one.not_worse]
    said = f"**Paired test.** On {len(duels) - len(worse)} of {len(duels)} models ours is not worse than the best peer (p < .05)."
    return said + (f" Worse: {_names(worse)}." if worse else "")


def _line_near(duels: list[Duel]) -> str:
    behind = [one for one in duels if not one.near]
    said = f"**SQNR.** On {len(duels) - len(behind)} of {len(duels)} models ours is at most 0.5 dB below the peer that is nearest to float."
    listed = "; ".join(
        f"{one.model.name} by {-paired(one.nearest).gain_db:.1f} dB ({one.nearest.who}, {one.nearest.setting})"
        for one in behind
    )
    return said + (f" Further behind: {listed}." if behind else "")


def _line_default(duels: list[Duel]) -> str:
    with_default = [one for one in duels if one.default is not None]
    better = [one for one in with_default if one.beats_default]
    proven = [one for one in better if one.default is not None and paired(one.default).p < 0.05]
    return (
        f"**Against the best default.** Ours is strictly better than the best peer's default on {len(better)} of {len(with_default)} "
        f"({_names(better) or 'none'}): on {len(proven)} by the paired test, on the others by more than 0.5 dB of SQNR with no "
        "difference in the test."
    )


def _line_collapse(models: tuple[Model, ...]) -> str:
    ours, theirs, all_theirs = [], 0, 0
    for model in models:
        instead = (
            ""
            if model.ours.chosen.precision in {"int8", "mixed"}
            else f", where a bundle holds {model.ours.chosen.precision}"
        )
        ours += [f"{model.name} ({row.format}{instead})" for row in collapsed(model) if row.who == "ours"]
        theirs += sum(row.is_peer for row in collapsed(model))
        all_theirs += sum(row.is_peer and row.judged is not None for row in model.rows)
    said = f"**Collapses.** Of the peers' {all_theirs} files, {theirs} lost more than a point, .01 of AUC or .01 of correlation; of ours"
    return f"{said}: {', '.join(ours)}." if ours else f"{said}, none."


def _line_cost(models: tuple[Model, ...]) -> str:
    floats = [
        f"{model.name} ({ending}: {taken.note})"
        for model in models
        for ending, taken in model.ours.files.items()
        if taken.precision != "int8"
    ]
    chosen = [
        f"{model.name}: {model.ours.chosen.precision}" for model in models if model.ours.chosen.precision != "int8"
    ]
    said = f"**What avoiding them cost.** Integer files with float layers: {'; '.join(floats) or 'none'}."
    return f"{said} A bundle would hold no integers on the preferred runtime for {', '.join(chosen) or 'none'}."


def _line_latency(models: tuple[Model, ...]) -> str:
    pairs = [
        (model, row) for model in models if (row := fastest_equal(model)) is not None and row.chosen_time is not None
    ]
    ratios = [row.chosen_time for _, row in pairs if row.chosen_time is not None]
    found = mean(ratios)
    if found is None:
        return "**Latency.** Nothing to compare."
    slower = [
        f"{model.name} {row.chosen_time:.2f} ({row.who}, {row.setting})"
        for model, row in pairs
        if row.chosen_time and row.chosen_time > 1.05
    ]
    return (
        f"**Latency.** What a bundle of ours would run takes {found:.2f} of the time of the fastest peer's file that is not worse by the test "
        f"(geometric mean over {len(ratios)} models; the aim is 1.0 or less). Slower by more than 5 %: {', '.join(slower) or 'none'}."
    )


def _line_float(models: tuple[Model, ...]) -> str:
    ratios = [found for model in models if model.cnn and (found := against_float_onnx(model)) is not None]
    found = mean(ratios)
    if found is None:
        return "**Against float32 onnxruntime.** No CNN with an ONNX form was run."
    each = ", ".join(f"{m.name} {r:.2f}" for m in models if m.cnn and (r := against_float_onnx(m)) is not None)
    return f"**Against float32 onnxruntime**, over the CNNs that have an ONNX form: {found:.2f} (the aim is 0.6 or less): {each}."


def _line_effort(found: dict[str, Cell], ran: Ran | None) -> str:
    if not found:
        return "**Wall time of a MobileNetV2.** Not measured."
    parts = [f"{name} {_took(cell)}" for name, cell in found.items()]
    peak = max(cell.memory_mib for cell in found.values()) / 1024
    when = f" Run on {ran.day}, load average {ran.load:g}." if ran is not None else ""
    return (
        f"**Wall time** of the whole `edge compile` of the MobileNetV2 on this shared machine: {', '.join(parts)}; "
        f"peak memory {peak:.1f} GiB. The aims are 60 s for quick, 300 s for normal, 5 s again from the cache, 4 GiB. *On one thread* is\nwith OMP_NUM_THREADS=1, the others as the command is called.{when}"
    )


def _took(cell: Cell) -> str:
    cpu = f" ({cell.cpu_s:.0f} s of CPU)" if cell.cpu_s is not None else ""
    return f"{cell.seconds:.0f} s{cpu}" if cell.state == "done" else f"{cell.state} ({cell.reason}){cpu}"


# ---- tables


def _model(model: Model) -> str:
    form = ".4f" if model.metric == "auc" else ".3f"
    chosen, ran = model.ours.chosen, model.ran
    signed = SIGNED if model.signed else ""
    rows = "\n".join(_row(model, row, form) for row in model.rows)
    return f"""### {model.name}

{model.what}. Float {UNITS[model.metric]} {model.float_value:{form}} on {model.samples} samples; {model.calibrate} calibrate. Our search took {model.seconds:.0f} s;
a bundle would hold {chosen.precision} on {chosen.runtime} (`{chosen.plan}`).{signed} Run on {ran.day}, load average {ran.load:g}.

| file | format | {UNITS[model.metric]} | SQNR | same | p | time | kB |
| --- | --- | --- | --- | --- | --- | --- | --- |
{rows}

"""


def _row(model: Model, row: Row, form: str) -> str:
    star = " *" if row.who == "ours" and row.format == model.ours_format else ""
    name = f"{row.who} {row.setting}".strip() + star
    if row.judged is None:
        return f"| {name} | {row.format} | {row.state}: {_cell(row.reason)} | | | | | |"
    found = judged(row)
    name = f"**{name}**" if found.collapsed else name
    p = f"{row.ours_against.p:.2g}" if row.ours_against is not None else ""
    time = f"{row.chosen_time:.2f}" if row.chosen_time is not None else ""
    return (
        f"| {name} | {row.format} | {found.value:{form}} | {found.sqnr_db:.1f} | {found.agreement:.1%} | {p} | {time} | "
        f"{found.size_bytes / 1000:.0f} |"
    )


def _cell(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")[:100]


def _missing(results: Results) -> str:
    listed = "\n".join(f"- {name}: {why}" for name, why in results.missing.items())
    return f"\n## What was not run\n\n{listed}\n" if listed else ""


def _environments(results: Results) -> str:
    """One line for each set of tools, with the models that it served."""
    by_packages: defaultdict[str, list[str]] = defaultdict(list)
    for model in results.models:
        packages = "; ".join(f"{name}: {listed}" for name, listed in model.ran.packages.items())
        by_packages[f"{packages}; our source {model.ran.code}"].append(model.name)
    return "\n".join(f"- {', '.join(names)}: {packages}." for packages, names in by_packages.items())
