"""Float file + plan -> compiled file: each pass of the plan is tried, and kept where it helps."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from compiler.plan import STATIC, Format, Pass, Plan, Ranges
from compiler.quantize.calibration import Calibration
from compiler.quantize.changes import CHANGES, Change, Retrain, training
from compiler.quantize.reference import Reference
from compiler.quantize.teach import teach, why_not
from compiler.quantize.work import Work, planned, quantize

LEARNS: frozenset[Pass] = frozenset({"learn-rounding", "train"})
"""Judged by samples that nothing was learned from."""
GAIN_DB: Mapping[Pass, float] = {
    "equalize": -1.0, "correct-bias": -1.0, "split-outputs": -0.1, "float-state": 1.0, "learn-rounding": 0.2,
    "train": 0.2}  # fmt: skip
"""What a pass must gain on the judged samples to be kept: a cheap pass that theory is for goes only where it does harm,
since so few samples are off by a decibel either way, and the select part, which sees files without it, too, says what
belongs in the bundle. What costs time must gain. In one SQNR over boxes and scores the boxes drown the scores, so
splitting outputs is kept unless it costs something."""


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """A compiled file."""

    content: bytes = field(repr=False)
    sqnr_db: float
    """At the outputs, before a soft-max or sigmoid, mean over the judged samples; the lowest of all outputs."""
    note: str
    """What computes in what, and what became of each pass."""
    judged: tuple[str, ...] = ()
    """Tensors that it is judged by, if they are not called as in the float file that it was made of."""


@dataclass(frozen=True, slots=True, eq=False)
class _Best:
    """What the passes so far have come to."""

    work: Work
    content: bytes = field(repr=False)
    sqnr_db: float


def _cannot_train(_: Ranges) -> str:
    return "does not apply: it trains torch networks and ONNX files"


class Workbench:
    """Makes any number of plans out of one float file."""

    def __init__(
        self, content: bytes, file_format: Format, calibration: Calibration, retrain: Retrain = _cannot_train
    ) -> None:
        self._changes: Mapping[Pass, Change] = {**CHANGES, "train": training(retrain)}
        self.reference = Reference(content, file_format, calibration)

    def make(self, plan: Plan) -> Made:
        """Make one file; the passes of the plan are kept where they help, and the note says which.

        Raises: BadModelError.
        """
        best, notes = self._with_passes(plan)
        said = self.reference.verbs.note(best.content, planned(plan, best.work.keep_float))
        return Made(best.content, best.sqnr_db, "; ".join([said, *notes]), best.work.judged)

    def train(self, ranges: Ranges) -> bytes | str:
        """Return the float ONNX file with trained weights, or why there is none: see `train_weights`."""
        if why := why_not(self.reference):
            return why
        best, _ = self._with_passes(Plan("onnxruntime", "int8", ranges=ranges, passes=("equalize", "learn-rounding")))
        return teach(self.reference, best.work, ranges)

    def _with_passes(self, plan: Plan) -> tuple[_Best, list[str]]:
        """Try each pass on top of those that helped."""
        seen = self.reference.seen if plan.passes or plan.precision in STATIC else {}
        work = Work(self.reference.content, seen, plan.keep_float)
        content = quantize(self.reference, work, plan)
        best = _Best(work, content, self.reference.judge(content))
        notes = []
        for name in plan.passes:
            changed = self._changes[name](self.reference, best.work, plan)
            best, note = (best, changed) if isinstance(changed, str) else self._judged(name, best, changed, plan)
            notes.append(f"{name}: {note}")
        return best, notes

    def _judged(self, name: Pass, best: _Best, changed: Work, plan: Plan) -> tuple[_Best, str]:
        """Keep what a pass changed, or not; and say so."""
        judge, learns = self.reference.judge, name in LEARNS
        content = quantize(self.reference, changed, plan)
        before = judge(best.content, names=best.work.judged, held_out=True) if learns else best.sqnr_db
        after = judge(content, names=changed.judged, held_out=learns)
        kept = after >= before + GAIN_DB[name]
        said = f" ({changed.said})" if changed.said else ""
        note = f"{'kept' if kept else 'not kept'}, {before:.1f} to {after:.1f} dB{said}"
        if not kept:
            return best, note
        return _Best(changed, content, judge(content, names=changed.judged) if learns else after), note
