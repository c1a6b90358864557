"""What every search stands on: the parts of the samples, and what the float model says of the part that chooses."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod

from compiler.checks import compilable_target, judge_reference, judge_split, judge_truth
from compiler.contract import Resolved
from compiler.golden import channel_axis, check_room
from compiler.inputs import real_inputs, statistics_of
from compiler.likeness import judge_likeness
from compiler.opening import Request, open_subject
from compiler.placement.place import stand_in
from compiler.prediction import Predictor, no_prediction
from compiler.quantize.calibration import Calibration
from compiler.run import Scores, run_reference, score
from compiler.split import Split, split
from compiler.stage import Stage
from compiler.subject import Subject
from compiler.yardstick import Yardstick, fit
from edge.preprocess import contract_shape
from edge.target import Target


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """A model, its samples in three parts, and the yardstick that the part which chooses gave."""

    target: Target
    here: Target
    """What stands in for the target while candidates are measured: itself, or the CPU beside its NPU."""
    resolved: Resolved
    parts: Split
    calibrate: Subject
    select: Subject
    report: Subject
    """Proves, and chooses nothing."""
    yardstick: Yardstick
    reference: Scores = field(repr=False)
    """The float model on the select part."""
    axis: int
    """Of a sample's channels."""
    warnings: tuple[str, ...]

    @property
    def calibration(self) -> Calibration:
        """Yields the inputs that ranges are set on."""
        return lambda: real_inputs(self.calibrate.usual())

    def predictor(self, predict: Predictor) -> Predictor:
        """`predict`, where it knows what the candidates are measured for: no prediction knows an NPU."""
        return predict if self.here is self.target else no_prediction


def lay_ground(request: Request, *, stage: Stage, warn: Callable[[str], None]) -> Ground:
    """Open model and data, split the samples, and run the float model on the select part.

    Raises: as `open_subject`; UnknownTargetError, TargetUnsupportedError; BadDataError for samples that prove nothing.
    """
    target = compilable_target(request.order.target)
    subject, resolved = open_subject(request, stage)
    check_room(4 * prod(contract_shape(resolved.contract)))  # of a bundle, for golden samples; the outputs are small
    parts = split(subject.samples.digests)
    warnings = judge_split(parts)
    calibrate, select, report = (subject.part(part) for part in (parts.calibrate, parts.select, parts.report))
    with stage("float reference", len(parts.select)) as step:
        run = run_reference(select, step)
    yardstick = fit(subject.task, request.metric, run.values, select.samples.truth, reader=subject.reader)
    reference = score(run, select.samples, yardstick)
    axis = channel_axis(subject.contract, subject.model.layout)
    warnings += judge_reference(reference, select) + judge_truth(reference, select, yardstick)
    warnings += judge_likeness(statistics_of(calibrate.usual()), statistics_of(select.usual()), axis)
    for warning in warnings:
        warn(warning)
    return Ground(
        target=target,
        here=stand_in(target),
        resolved=resolved,
        parts=parts,
        calibrate=calibrate,
        select=select,
        report=report,
        yardstick=yardstick,
        reference=reference,
        axis=axis,
        warnings=warnings,
    )
