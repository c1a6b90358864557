"""The proof: what was chosen is measured on the report part, which nothing was chosen by."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from compiler.choose import Choice
from compiler.measure import Measured, measure_again
from compiler.run import Open, Scores, run_reference, score
from compiler.stage import Stage
from compiler.subject import Subject
from compiler.yardstick import Yardstick
from edge.runtimes import open_model

FINALISTS = 6
"""Candidates that are measured again at most: those taken, and some others for the options that an error names."""


@dataclass(frozen=True, slots=True, eq=False)
class Proved:
    """The float model and the finalists on the report part, by their place among the candidates; the main one first."""

    reference: Scores = field(repr=False)
    finalists: dict[int, Measured]

    def __getitem__(self, index: int) -> Measured:
        """One finalist."""
        return self.finalists[index]


def prove_quality(
    report: Subject,
    measured: Sequence[Measured],
    choice: Choice,
    *,
    yardstick: Yardstick,
    stage: Stage,
    open_one: Open = open_model,
) -> Proved:
    """Measure the candidates that were taken, and a few more, on samples that neither calibrated nor chose anything."""
    others = [index for index in range(len(measured)) if index not in choice.taken]
    finalists = [*choice.taken, *others][:FINALISTS]
    with stage("proving", (1 + len(finalists)) * len(report.samples)) as step:
        reference = score(run_reference(report, step), report.samples, yardstick)
        return Proved(
            reference,
            {
                index: measure_again(
                    measured[index],
                    subject=report,
                    reference=reference,
                    yardstick=yardstick,
                    step=step,
                    open_one=open_one,
                )
                for index in finalists
            },
        )
