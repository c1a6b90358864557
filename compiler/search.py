"""Finds out what the model can become: builds candidates and measures each on the select part, the only one it sees.

The one place where a search loop belongs: make a plan, build it, measure it on `subject`, and stop when it is enough.
"""

from dataclasses import dataclass

from compiler.candidate import Calibration, Skipped, build_candidates
from compiler.measure import Measured, Predictor, Scores, measure_candidates
from compiler.stage import Stage
from compiler.subject import Subject
from compiler.yardstick import Yardstick
from edge.target import Target


@dataclass(frozen=True, slots=True)
class Found:
    """Every candidate, measured, and those that could not be built."""

    measured: tuple[Measured, ...]
    skipped: tuple[Skipped, ...]


def search(
    subject: Subject,
    *,
    calibration: Calibration,
    target: Target,
    reference: Scores,
    yardstick: Yardstick,
    predict: Predictor,
    stage: Stage,
) -> Found:
    """Build all candidates and measure them.

    Args:
        subject: the select part.
        calibration: yields the inputs of the calibrate part.
        target: the kind of device.
        reference: the float model on the select part.
        yardstick: the metric, and how to decide.
        predict: says what a candidate takes on the target's core.
        stage: opens a progress bar.

    Raises: BadModelError if nothing can be built.

    """
    with stage("building candidates", None):
        candidates, skipped = build_candidates(
            subject.model, calibration=calibration, target=target, progress=lambda _: None
        )
    with stage("measuring candidates", len(candidates) * len(subject.samples)) as step:
        measured = measure_candidates(
            candidates, subject=subject, reference=reference, yardstick=yardstick, predict=predict, step=step
        )
    return Found(measured, tuple(skipped))
