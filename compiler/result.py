"""What compiling found out: the report and `--json` are made of this, and only this."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from compiler.budget import Judgement
from compiler.candidate import Skipped
from compiler.choose import Choice
from compiler.contract import Resolved
from compiler.dataset import Samples
from compiler.explain.layer_by_layer import Layers
from compiler.measure import Measured
from compiler.opening import Request
from compiler.placement.settle import Placement
from compiler.run import Scores
from compiler.split import Split
from compiler.verify import Verified
from edge.manifest import Manifest
from edge.target import Target


@dataclass(frozen=True, slots=True, eq=False)
class Compiled:
    """One finished `edge compile`."""

    bundle: Path
    size_bytes: int
    manifest: Manifest
    request: Request
    target: Target
    resolved: Resolved
    report_part: Samples = field(repr=False)
    """The samples that prove; what is printed was measured on them."""
    split: Split = field(repr=False)
    reference: Scores = field(repr=False)
    """The float model on the report part."""
    measured: tuple[Measured, ...]
    """On the report part; those that were no finalists, on the select part."""
    skipped: tuple[Skipped, ...]
    choice: Choice
    judgement: Judgement
    placement: Placement
    """Where each operator of the main variant runs."""
    verified: tuple[Verified, ...]
    layers: Layers
    """What int8 does to each of them; or why nobody looked."""
    warnings: tuple[str, ...]
    seconds: float

    @property
    def main(self) -> Measured:
        """The candidate that runs."""
        return self.measured[self.choice.main]

    @property
    def judged(self) -> Measured:
        """The candidate whose changed decisions are worth a look: the main one, or the int8 one it was preferred to."""
        int8 = [one for one in self.measured if one.candidate.dtype == "int8" and self.proved(one)]
        return self.main if self.main in int8 or not int8 else int8[0]

    @property
    def untouched(self) -> bool:
        """Its maker quantized the model: it was packed as it came, and nothing in float is there to compare with."""
        return self.main.candidate.plan is None

    def proved(self, one: Measured) -> bool:
        """Whether a candidate was measured on the report part."""
        return len(one.scores.predicted) == len(self.report_part.truth)

    @property
    def sha256(self) -> str:
        """Of the bundle, as it lies there."""
        return hashlib.sha256(self.bundle.read_bytes()).hexdigest()

    @property
    def report(self) -> Path:
        """Folder of report.html and report.json."""
        return report_folder(self.bundle)


def report_folder(bundle: Path) -> Path:
    """`NAME-VERSION.report` beside `NAME-VERSION.edge`."""
    return bundle.with_suffix(".report")
