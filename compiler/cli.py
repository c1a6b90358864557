"""`edge compile`, `edge evaluate` and `edge explain`: words in, results out; the work is done elsewhere."""

from collections.abc import Callable
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from compiler.effort import Effort
from compiler.options import KEPT, Flag, Given, Kept
from edge import console
from edge.errors import BadArgumentError
from edge.manifest import Latency, Variant

if TYPE_CHECKING:
    from compiler.opening import Request


def compile_command(
    model: str,
    /,
    *,
    given: Given,
    recipe: Path | None = None,
    study: str | None = None,
    study_name: str | None = None,
    model_version: int = 1,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    max_drop: str | None = None,
    max_ms: float | None = None,
    accept_unproven: Flag = False,
    no_fallback: Flag = False,
    onnx_too: Flag = False,
    golden_from_data: Flag = False,
    effort: Effort | None = None,
    json: Flag = False,
) -> None:
    """Compile a trained model into a bundle for one kind of device, and prove what it costs.

    Parameters
    ----------
    model
        Trained model: .pt2, .onnx, .tflite, or file.py:function (it returns an nn.Module and example inputs).
    given
        What is compiled, with which samples, for what.
    recipe
        The report.json of an earlier compile: makes the same bundle of the same model and data again, byte for byte.
        It says all but --data, --output, --calibration and the cache.
    study
        Where `edge tune` searched: its best plans are built and proven, instead of those of an effort.
    study_name
        Name of the study there; by default made of the model's name and the target.
    model_version
        Version of the model, a whole number from 1.
    output
        Bundle to write; by default NAME-VERSION.edge. The report goes beside it.
    max_drop
        What compiling may cost, 1% or 0.01: the bundle is written only if that is proven at 95 % confidence. Without
        it, one point is the aim, and a bundle that may miss it says so.
    max_ms
        Time that one inference may take on the target, in ms: the upper end of the prediction is held against it.
    accept_unproven
        Pack what cannot be proven, with the word `unproven` in the manifest.
    no_fallback
        Refuse an operator on the CPU beside an NPU, or in float in an integer model, that no plan asked for.
    onnx_too
        Convert a float .tflite to ONNX as well, with tf2onnx: on first use that makes an environment of 0.5 GB for it.
    golden_from_data
        Put real samples into the bundle as golden samples, instead of synthetic ones. They will lie on every device.
    effort
        quick: float and one int8 of each format; normal (the default): also other ranges, corrected biases and
        float16; thorough: everything there is.
    json
        Print one JSON object.
    """
    from compiler.again import compile_again
    from compiler.budget import MAX_DROP, Budget
    from compiler.json_objects import Json, to_json
    from compiler.pipeline import compile_model
    from compiler.recipe import hold_same_bytes, read_recipe, request_of
    from compiler.summary import summarize

    earlier = None
    if recipe is not None:
        earlier = read_recipe(recipe)
        said = (given.target, given.name, max_drop, max_ms, study, study_name)
        flags = accept_unproven or golden_from_data or onnx_too or given.says_how or model_version != 1
        if flags or any(one is not None for one in said):
            raise BadArgumentError(
                "--recipe says already what this compile is", remedy="leave out all but --data, -o and --calibration"
            )
        request = request_of(earlier, model=model, data=given.data, output=output, cache=given.kept.open())
    else:
        request = given.request(model, version=model_version, output=output)
        budget = Budget(
            max_drop=MAX_DROP if max_drop is None else share(max_drop),
            max_ms=None if max_ms is None else positive_ms(max_ms),
            asked=max_drop is not None,
            accept_unproven=accept_unproven,
        )
        scope = replace(request.scope, effort=effort or "normal")
        request = replace(request, budget=budget, scope=scope, golden_from_data=golden_from_data, onnx_too=onnx_too)
    if study is None and study_name is not None:
        raise BadArgumentError("--study-name names a study, but where does it lie?", remedy="pass --study URL, too")
    if study is not None:
        if given.says_how or onnx_too or effort is not None:
            raise BadArgumentError(
                "--study says already how model and data meet, and what to build",
                remedy="leave out --input, --labels, --task, --metric, --state, --onnx-too and --effort",
            )
        request = from_study(request, study, study_name)
    request = replace(request, no_fallback=no_fallback)

    def warn(text: str) -> None:
        console.say(f"warning: {text}")

    predict = predictor(request.order.target, given.calibration)

    def make(request: "Request") -> tuple[Json, str]:
        compiled = compile_model(request, stage=console.progress, warn=warn, predict=predict)
        return to_json(compiled), summarize(compiled)

    told, text = compile_again(
        request, cache=request.scope.cache, calibration=given.calibration, warn=warn, stage=console.progress, make=make
    )
    if earlier is not None:
        hold_same_bytes(earlier, told["recipe"]["bundle_sha256"])
    console.emit(told, json=json, text=text)


def from_study(request: "Request", url: str, name: str | None) -> "Request":
    """Ask for the best plans of a study; raises StudyError if it is of something else."""
    from compiler.tuning.recall import ask_again, recall
    from compiler.tuning.tune import name_of

    return ask_again(request, recall(url, name or name_of(request.model, request.order)))


def predictor(target: str, calibration: Path | None) -> Callable[[bytes, Variant], Latency | None]:
    """Say how to predict for a target; raises BadArgumentError or BadDataError for an unusable calibration."""
    from functools import partial

    from compiler.latency import predict
    from compiler.latency.predict import check_calibration
    from edge.calibration import read_calibration
    from edge.target import load_target

    board = None if calibration is None else read_calibration(calibration)
    if board is not None:
        check_calibration(board, load_target(target))
    return partial(predict, target=load_target(target), calibration=board)


def evaluate_command(bundle: Path, /, *, data: Path, label_column: str = "label", json: Flag = False) -> None:
    """Measure every variant of a bundle on labelled samples, as this machine runs it.

    Parameters
    ----------
    bundle
        The .edge file.
    data
        Labelled samples, as for `edge compile`; all of them are used.
    label_column
        Column of a .csv that holds the label.
    json
        Print one JSON object.
    """
    from compiler.evaluate import evaluate_bundle
    from compiler.json_objects import evaluation_to_json
    from compiler.summary import summarize_evaluation

    evaluation = evaluate_bundle(bundle, data, label_column=label_column, stage=console.progress)
    console.emit(evaluation_to_json(evaluation), json=json, text=lambda: summarize_evaluation(evaluation))


def explain_command(
    bundle: Path,
    /,
    *,
    model: str,
    data: Path,
    label_column: str = "label",
    effort: Effort = "normal",
    calibration: Path | None = None,
    kept: Kept = KEPT,
    json: Flag = False,
) -> None:
    """Say which layers of a bundle's model int8 harms, why, and what each repair recovers and costs.

    Parameters
    ----------
    bundle
        The .edge file.
    model
        The trained model that it was compiled from.
    data
        Labelled samples, as for `edge compile`; the part that calibrates and the part that chooses are used.
    label_column
        Column of a .csv that holds the label.
    effort
        Which repairs to hold against each other, as for `edge compile`.
    calibration
        What a board of this kind measured, as for `edge compile`.
    kept
        Where what was built is kept.
    json
        Print one JSON object.
    """
    from compiler.explain.bundle import Question, explain_bundle
    from compiler.explain.words import explanation_to_json, summarize_explanation
    from compiler.search import Scope
    from edge.bundle import open_bundle

    scope = Scope(effort=effort, cache=kept.open())
    predict = predictor(open_bundle(bundle).manifest.target, calibration)
    question = Question(bundle, model, data, label_column, scope)
    told = explain_bundle(question, stage=console.progress, predict=predict)
    console.emit(explanation_to_json(told), json=json, text=lambda: summarize_explanation(told))


def positive_ms(value: float) -> float:
    """Return `value`; raises BadArgumentError unless it is a time."""
    if not 0 < value < inf:
        raise BadArgumentError(f"{value} ms is no time", remedy="write for instance --max-ms 30")
    return value


def share(text: str) -> float:
    """Read `1%` or `0.01`; raises BadArgumentError for anything that is no share."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise BadArgumentError(f"{text!r} is no share", remedy="write --max-drop 1% or --max-drop 0.01")
    return value
