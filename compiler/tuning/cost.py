"""What a plan costs, in the one unit of a study: predicted milliseconds where they are known, else the size."""

from dataclasses import dataclass

from compiler.candidate import Candidate
from compiler.placement.from_onnx import read_onnx
from compiler.placement.from_tflite import read_tflite
from compiler.prediction import Predictor
from compiler.tuning.bound import Unit
from edge.manifest import Latency
from edge.target import Target


@dataclass(frozen=True, slots=True)
class Yard:
    """Predicted times of float32 and of int8 on the runtime that is searched; None: nobody can say."""

    float_ms: float | None
    int8_ms: float | None

    @property
    def unit(self) -> Unit:
        """Of the costs."""
        return "KiB" if self.float_ms is None or self.int8_ms is None else "ms"

    def cost(self, candidate: Candidate, predicted: Latency | None, target: Target) -> float:
        """Cost of one file.

        What computes partly in float is predicted by nobody: its time lies between int8's and float32's, by the share
        of its multiplications that are float. That orders plans for the sampler, and is shown to nobody as a time.
        """
        if self.float_ms is None or self.int8_ms is None:
            return len(candidate.data) / 1024
        if predicted is not None:
            return predicted.ms
        return self.int8_ms + share_in_float(candidate, target) * (self.float_ms - self.int8_ms)


def yard(as_float: Candidate, plain: Candidate, predict: Predictor) -> Yard:
    """Predict float32 and plain int8."""
    times = [predict(one.data, one.variant) for one in (as_float, plain)]
    return Yard(*(None if one is None else one.ms for one in times))


def share_in_float(candidate: Candidate, target: Target) -> float:
    """Share of the multiplications that are float; of the operators, where the shapes do not tell or none multiply."""
    read = read_onnx if candidate.runtime == "onnxruntime" else read_tflite
    ledger = read(candidate.data, target)
    total = sum(row.macs or 0 for row in ledger.rows)
    if not total or any(row.macs is None for row in ledger.rows):
        return ledger.float_share
    return sum(row.macs or 0 for row in ledger.rows if row.dtype.startswith("float")) / total
