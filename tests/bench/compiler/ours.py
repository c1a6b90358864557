"""`python ours.py CASE FOLDER`: our search at effort normal; leaves ours.onnx, ours.tflite and ours.json.

It is what `edge compile --target x86-64 --effort normal` searches, and the rule that chooses there is asked twice more:
for the integer file that it would take in each format. Nothing here sees the report part.
"""

import sys
from pathlib import Path

import msgspec
from cases import CASES
from prepare import open_case, silent

from compiler.budget import Budget
from compiler.choose import choose
from compiler.host import is_this_kind
from compiler.inputs import real_inputs
from compiler.measure import Measured, measuring, sqnr_of
from compiler.objection import objection
from compiler.prediction import Predictor
from compiler.run import run_reference, score
from compiler.search import Found, Scope, search
from compiler.split import split
from compiler.subject import Subject
from compiler.yardstick import fit
from edge.errors import BadModelError
from edge.target import Target, load_target

INTEGER = {"int8", "mixed"}


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """One file that we would take, and what the select part said of it."""

    file: str
    runtime: str
    precision: str
    plan: str
    note: str
    select_sqnr_db: float
    select_drop: float


class Ours(msgspec.Struct, frozen=True, kw_only=True):
    """ours.json."""

    files: dict[str, Taken]
    """By format: the integer one."""
    chosen: Taken
    """Of all, floats too: what a bundle would hold first."""
    sentence: str
    tried: tuple[str, ...]
    """Every candidate: plan and SQNR on the select part."""
    skipped: tuple[str, ...]


def find(subject: Subject, metric: str | None, target: Target) -> tuple[Found, int]:
    """Search; also the size of the report part, which is all the rule may know of it."""
    parts = split(subject.samples.digests)
    calibrate, select = subject.part(parts.calibrate), subject.part(parts.select)
    run = run_reference(select, lambda: None)
    yardstick = fit(subject.task, metric, run.values, select.samples.truth)
    reference = score(run, select.samples, yardstick)
    found = search(
        select,
        calibration=lambda: real_inputs(calibrate.usual()),
        calibrated=calibrate.usual().samples.digests,
        target=target,
        scope=Scope("normal"),
        measure=measuring(select, reference=reference, yardstick=yardstick, predict=predictor(target), stage=silent),
        fine=lambda one: not objection(one, target, Budget(), report_samples=len(parts.report)),
        stage=silent,
    )
    return found, len(parts.report)


def predictor(target: Target) -> Predictor:
    """The one that the command uses."""
    from compiler.cli import predictor as of_command

    return of_command(target.name, None)


def take(measured: list[Measured], target: Target, report: int) -> Measured:
    """What the rule takes; where it takes none, the one nearest to the float model."""
    try:
        return measured[choose(measured, target, Budget(), report_samples=report).main]
    except BadModelError:
        return max(measured, key=sqnr_of)


def write(one: Measured, folder: Path, name: str) -> Taken:
    """Keep the file."""
    candidate = one.candidate
    path = folder / f"{name}{Path(candidate.variant.file).suffix}"
    path.write_bytes(candidate.data)
    return Taken(
        file=path.name,
        runtime=candidate.runtime,
        precision=candidate.dtype,
        plan=str(candidate.plan),
        note=candidate.note,
        select_sqnr_db=sqnr_of(one),
        select_drop=one.quality.drop,
    )


def main(name: str, folder: Path) -> None:
    """Search, choose, keep."""
    case, target = CASES[name], load_target("x86-64")
    subject = open_case(case, folder / "samples.npz")
    found, report = find(subject, case.metric, target)
    files = {}
    for ending in ("onnx", "tflite"):
        integer = [
            m for m in found.measured if m.candidate.dtype in INTEGER and m.candidate.variant.file.endswith(ending)
        ]
        if integer:
            files[ending] = write(take(integer, target, report), folder, "ours")
    here = is_this_kind(target.arch)
    choice = choose(found.measured, target, Budget(), report_samples=report, here=here)
    ours = Ours(
        files=files,
        chosen=write(found.measured[choice.main], folder, "ours-chosen"),
        sentence=choice.sentence,
        tried=tuple(f"{m.candidate.plan}: {sqnr_of(m):.1f} dB" for m in found.measured),
        skipped=tuple(f"{one.runtime} {one.dtype}: {one.reason}" for one in found.skipped),
    )
    (folder / "ours.json").write_bytes(msgspec.json.encode(ours))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
