"""Builds every form of the model that could go into the bundle: from a loaded source to compiled files."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from compiler.candidate import Candidate
from compiler.effort import REACHES
from compiler.export import FORMATS
from compiler.load import SourceModel
from compiler.parity import check_parity
from compiler.plan import Format, Plan, Ranges
from compiler.quantize.calibration import Calibration
from compiler.quantize.workbench import Workbench
from edge.manifest import Precision, RuntimeName, Variant

Progress = Callable[[str], None]
"""Called with a few words at the start of each step."""


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
