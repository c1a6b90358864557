"""The JSON objects that `edge compile` and `edge evaluate` print, and that report.json holds."""

from typing import Any

from compiler.budget import Clause
from compiler.evaluate import Evaluation
from compiler.explain.layers import LayerError, measured_db
from compiler.load.state import write_states
from compiler.measure import Measured
from compiler.recipe import Recipe, recipe_to_json
from compiler.result import Compiled

Json = dict[str, Any]  # leaves this module as one JSON object only


def to_json(compiled: Compiled) -> Json:
    """Build the object that `edge compile --json` prints."""
    main = compiled.main
    return {
        "bundle": str(compiled.bundle),
        "chosen": {"runtime": compiled.manifest.variants[0].runtime, "dtype": main.candidate.dtype},
        "task": compiled.manifest.task,
        "contract": {
            "verdict": compiled.judgement.verdict,
            "clauses": [_clause(clause) for clause in compiled.judgement.clauses],
        },
        "samples": {
            "calibrate": len(compiled.split.calibrate),
            "select": len(compiled.split.select),
            "report": len(compiled.split.report),
        },
        "quality": _quality(main) | {"verdict": compiled.manifest.quality.verdict},
        "size_bytes": compiled.size_bytes,
        "latency": [_latency(one) for one in (compiled.measured[index] for index in compiled.choice.taken)],
        "candidates": [_candidate(compiled, index) for index in range(len(compiled.measured))],
        "skipped": [{"runtime": one.runtime, "dtype": one.dtype, "reason": one.reason} for one in compiled.skipped],
        "classes": list(compiled.report_part.classes),
        "verified": [
            {"runtime": one.runtime, "dtype": one.dtype, "max_error": one.max_error, "holds": one.holds}
            for one in compiled.verified
        ],
        "layers": [layer_to_json(row) for row in compiled.layers.rows],
        "warnings": list(compiled.warnings),
        "recipe": recipe_to_json(_recipe(compiled)),
        "report": str(compiled.report / "report.html"),
        "seconds": round(compiled.seconds, 1),
    }


def evaluation_to_json(evaluation: Evaluation) -> Json:
    """Build the object that `edge evaluate --json` prints."""
    return {
        "bundle": str(evaluation.bundle.path),
        "samples": evaluation.samples,
        "yardstick": {"runtime": evaluation.yardstick.runtime, "dtype": evaluation.yardstick.dtype},
        "variants": [
            {
                "runtime": one.variant.runtime,
                "dtype": one.variant.dtype,
                "metric": evaluation.metric,
                "value": one.value,
                "agreement": one.agreement,
                "p50_ms": one.timing.ms,
            }
            for one in evaluation.variants
        ],
        "missing": list(evaluation.missing),
    }


def layer_to_json(one: LayerError) -> Json:
    """Build the object of one layer; decibels are null where they were not measured."""
    return {
        "name": one.name,
        "op": one.op,
        "alone_db": measured_db(one.alone_db),
        "sqnr_db": measured_db(one.sqnr_db),
        "low": one.low,
        "high": one.high,
        "imbalance": one.imbalance,
        "saturated": one.saturated,
        "cause": one.cause,
    }


def _candidate(compiled: Compiled, index: int) -> Json:
    one, plan = compiled.measured[index], compiled.measured[index].candidate.plan
    return {
        "runtime": one.candidate.runtime,
        "dtype": one.candidate.dtype,
        "size_bytes": len(one.candidate.data),
        "plan": None if plan is None else str(plan),
        "note": one.candidate.note,
        "measured_on": "report" if compiled.proved(one) else "select",
        "quality": _quality(one),
        "figures": [{"name": it.name, "value": it.value, "unit": it.unit} for it in one.compared.figures],
        "latency": _latency(one),
        "predicted": one.predicted,
        "taken": index in compiled.choice.taken,
        "reason": compiled.choice.reasons[index],
    }


def _quality(one: Measured) -> Json:
    quality = one.quality
    return {
        "metric": quality.metric,
        "float": quality.reference,
        "compiled": quality.compiled,
        "drop": quality.drop,
        "ci95": list(quality.ci95),
        "upper95": quality.upper95,
        "agreement": quality.agreement,
        "samples": quality.samples,
    }


def _clause(clause: Clause) -> Json:
    return {"promise": clause.promise, "verdict": clause.verdict, "sentence": clause.sentence}


def _latency(one: Measured) -> Json:
    timing = one.timing
    return {
        "core": timing.core,
        "runtime": one.candidate.runtime,
        "dtype": one.candidate.dtype,
        "kind": "simulated" if timing.simulated else "measured",
        "ms": timing.ms,
        "low": timing.low,
        "high": timing.high,
    }


def _recipe(compiled: Compiled) -> Recipe:
    manifest, request = compiled.manifest, compiled.request
    plans = [one.candidate.plan for one in compiled.measured]
    return Recipe(
        source_sha256=manifest.provenance.source_sha256,
        data_sha256=manifest.provenance.data_sha256,
        bundle_sha256=compiled.sha256,
        target=manifest.target,
        name=manifest.name,
        version=manifest.version,
        task=manifest.task,
        metric=manifest.quality.metric,
        label_column=request.label_column,
        labels=compiled.report_part.classes if manifest.task in {"classify", "detect"} else (),
        input=manifest.input,
        head=compiled.resolved.head,
        max_drop=request.budget.max_drop,
        max_ms=request.budget.max_ms,
        asked=request.budget.asked,
        accept_unproven=request.budget.accept_unproven,
        golden_from_data=request.golden_from_data,
        effort=request.scope.effort,
        plans=tuple(str(plan) for plan in plans if plan is not None),
        tools=manifest.provenance.tools,
        states=write_states(request.states),
        onnx_too=request.onnx_too,
    )
