"""Every form of the model that could go into the bundle: the main path from a loaded source to compiled files."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from compiler.export import FORMATS
from compiler.load import SourceModel
from compiler.plan import REACHES, Format, Plan, Ranges
from compiler.quantize.calibration import Calibration
from compiler.quantize.workbench import Workbench
from edge.errors import BadModelError
from edge.manifest import Precision, RuntimeName, Variant

Progress = Callable[[str], None]
"""Called with a few words at the start of each step."""

PARITY_SAMPLES = 8
PARITY_RTOL = 1e-4
"""Of the largest output: torch's exporters stay below 6e-6 on eight networks (measured); a wrong axis is off by 1."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One compiled file and what the manifest will say of it."""

    runtime: RuntimeName
    dtype: Precision
    data: bytes = field(repr=False)
    variant: Variant
    note: str
    """For people: what is special about this candidate; empty if nothing is."""
    plan: Plan | None = None
    """How it was made; `str(plan)` is its recipe. None: it was packed as it came."""
    judged: tuple[str, ...] = ()
    """See `compiler.quantize.workbench.Made`."""

    @property
    def form(self) -> tuple[RuntimeName, Precision]:
        """What it computes on, and in; a bundle holds one file of a form."""
        return self.runtime, self.dtype

    @property
    def title(self) -> str:
        """Name its form: `int8 on litert`."""
        return f"{self.dtype} on {self.runtime}"

    @property
    def layers_in_float(self) -> int:
        """How many layers a mixed plan keeps in float."""
        return len(self.plan.keep_float) if self.plan else 0


@dataclass(frozen=True, slots=True)
class Skipped:
    """A candidate that was wanted but could not be built."""

    runtime: RuntimeName
    dtype: Precision
    reason: str


class Builder:
    """Builds any number of plans of one model: each format is exported, checked and observed once."""

    def __init__(self, model: SourceModel, calibration: Calibration, progress: Progress = lambda _step: None) -> None:
        self._model, self._calibration, self._progress = model, calibration, progress
        self._floats: dict[RuntimeName, Candidate] = {}
        self._benches: dict[RuntimeName, Workbench] = {}
        self._trained: dict[Ranges, bytes | str] = {}

    def build(self, plan: Plan) -> Candidate:
        """Build one file; its float form was checked against the source.

        Raises: BadModelError; MissingExtraError.
        """
        if self._model.quantized:
            return self._untouched(plan.runtime)
        as_float = self._float(plan.runtime)
        if plan.precision == "float32":
            return as_float
        self._progress(f"quantizing for {plan.runtime}: {plan.precision}")
        made = self.bench(plan.runtime).make(plan)
        candidate = _candidate(plan.runtime, plan.precision, made.content, note=made.note, plan=plan)
        return replace(candidate, judged=made.judged)

    def bench(self, runtime: RuntimeName) -> Workbench:
        """Return the workbench of one runtime's format, for sensitivity and explanations, too."""
        if runtime not in self._benches:
            as_float = self._float(runtime)
            form = Plan(runtime).file_format
            retrain = partial(self._retrain, form)
            self._benches[runtime] = Workbench(as_float.data, form, self._calibration, retrain)
        return self._benches[runtime]

    def _retrain(self, form: Format, ranges: Ranges) -> bytes | str:
        """Return a float file of trained weights, or why there is none; both formats share one training."""
        if "onnx" not in REACHES[self._model.kind]:
            return "does not apply: a .tflite cannot be trained; give the network as .pt2, file.py:function or .onnx"
        if ranges not in self._trained:
            self._trained[ranges] = self.bench("onnxruntime").train(ranges)
        trained = self._trained[ranges]
        if isinstance(trained, str) or form == "onnx":
            return trained
        return FORMATS[form].export(replace(self._model, kind="onnx", payload=trained))

    def _float(self, runtime: RuntimeName) -> Candidate:
        if runtime not in self._floats:
            self._progress(f"exporting for {runtime}")
            plan = Plan(runtime)
            content = FORMATS[plan.file_format].export(self._model)
            as_float = _candidate(runtime, "float32", content, note=self._model.note, plan=plan)
            check_parity(self._model, as_float, self._calibration)
            self._floats[runtime] = as_float
        return self._floats[runtime]

    def _untouched(self, runtime: RuntimeName) -> Candidate:
        """Return a source that is quantized already, as it is."""
        return _candidate(runtime, "int8", self._model.payload, note="quantized by its maker", plan=None)


def _candidate(runtime: RuntimeName, dtype: Precision, data: bytes, *, note: str, plan: Plan | None) -> Candidate:
    file_format = "onnx" if runtime == "onnxruntime" else "tflite"
    ends = FORMATS[Plan(runtime).file_format].describe(data)
    variant = Variant(
        runtime=runtime,
        dtype=dtype,
        file=f"model-{dtype}.{file_format}",
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
        input=ends.input,
        outputs=ends.outputs,
        state=ends.state,
    )
    return Candidate(runtime, dtype, data, variant, note, plan)


def check_parity(model: SourceModel, candidate: Candidate, calibration: Calibration) -> None:
    """Hold that exporting changed nothing: the float file computes what the source computes.

    Raises: BadModelError with the largest error, as a share of the largest output.
    """
    from edge.runtimes import open_model, outputs_of, run_float

    session = open_model(candidate.data, candidate.variant)
    try:
        for sample in islice(calibration(), PARITY_SAMPLES):
            session.reset()
            for x, answers in zip(sample, model.unroll_all(sample), strict=True):
                run_float(session, x)
                for expected, found in zip(answers, outputs_of(session), strict=False):
                    _hold_equal(expected.ravel(), found.ravel(), candidate)
    finally:
        session.close()


def _hold_equal(expected: NDArray[np.float32], found: NDArray[np.float32], candidate: Candidate) -> None:
    if expected.size != found.size:
        problem = f"an output of {expected.size} numbers has {found.size}"
    else:
        error = float(np.abs(found - expected).max()) / max(float(np.abs(expected).max()), 1e-6)
        if error <= PARITY_RTOL:  # not for NaN
            return
        problem = f"its output is off by {error:.2g} of the largest value, {PARITY_RTOL:g} is allowed"
    raise BadModelError(
        f"export to {candidate.variant.file} changed the model: {problem}",
        remedy="put the network into eval mode and take out what is random; else report this network",
    )
