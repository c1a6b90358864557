"""`edge compile`, `edge evaluate` and `edge explain`: words in, results out; the work is done elsewhere."""

from collections.abc import Callable
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from compiler.plan import Effort
from edge import console
from edge.errors import BadArgumentError
from edge.manifest import Latency, MetricName, TaskName, Variant

Flag = Annotated[bool, Parameter(negative="")]


def compile_command(
    model: str,
    /,
    *,
    target: str | None = None,
    data: Path,
    recipe: Path | None = None,
    input: Path | None = None,  # noqa: A002 - the option is called --input
    labels: Path | None = None,
    label_column: str = "label",
    name: str | None = None,
    model_version: int = 1,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    state: tuple[str, ...] = (),
    max_drop: str | None = None,
    max_ms: float | None = None,
    accept_unproven: Flag = False,
    no_fallback: Flag = False,
    task: TaskName | None = None,
    metric: MetricName | None = None,
    golden_from_data: Flag = False,
    calibration: Path | None = None,
    effort: Effort = "normal",
    cache: Path | None = None,
    no_cache: Flag = False,
    json: Flag = False,
) -> None:
    """Compile a trained model into a bundle for one kind of device, and prove what it costs.

    Parameters
    ----------
    model
        Trained model: .pt2, .onnx, .tflite, or file.py:function (it returns an nn.Module and example inputs).
    target
        Kind of device; `edge targets` lists them. Needed but with --recipe.
    data
        Labelled samples: a folder of class folders (pictures or .wav), an .npz (x, y) or a .csv. A fifth calibrates,
        a fifth chooses, the rest proves.
    recipe
        The report.json of an earlier compile: makes the same bundle of the same model and data again, byte for byte.
        It says all but --data, --output, --calibration and the cache.
    input
        Input contract as TOML; by default NAME.input.toml beside the model. What is open is listed ready to paste.
    labels
        Class names, one a line, in the order of the model's outputs.
    label_column
        Column of a .csv that holds the label.
    name
        Name of the model in the fleet; by default made of the file name.
    model_version
        Version of the model, a whole number from 1.
    output
        Bundle to write; by default NAME-VERSION.edge. The report goes beside it.
    state
        For a network with a memory, INPUT=OUTPUT: this output goes back in as that input at the next step, and is
        zero at first. Once for each state: --state h=h_next --state c=c_next. An output without a name is a number,
        from 0. The data are then sequences: x [n, steps, ...] in an .npz, or the rows of a .csv in their order.
    max_drop
        What compiling may cost, 1% or 0.01: the bundle is written only if that is proven at 95 % confidence. Without
        it, one point is the aim, and a bundle that may miss it says so.
    max_ms
        Time that one inference may take on the target, in ms: the upper end of the prediction is held against it.
    accept_unproven
        Pack what cannot be proven, with the word `unproven` in the manifest.
    no_fallback
        Refuse an operator on the CPU beside an NPU, or in float in an integer model, that no plan asked for.
    task
        classify, anomaly (labels are normal and anomaly) or regress (y are numbers); by default as the input contract
        says, else classify.
    metric
        By default accuracy, auc or mae, by the task; also top5, f1 and correlation (with the float model).
    golden_from_data
        Put real samples into the bundle as golden samples, instead of synthetic ones. They will lie on every device.
    calibration
        What a board of this kind measured (`edge bench --calibration`): its times replace and scale predictions.
    effort
        quick: float and one int8 of each format; normal: also other ranges, corrected biases and float16; thorough:
        everything there is.
    cache
        Folder of what was built before; by default `edgewright` in the user's cache folder.
    no_cache
        Build everything anew, and keep nothing.
    json
        Print one JSON object.
    """
    from compiler.again import compile_again
    from compiler.budget import MAX_DROP, Budget
    from compiler.cache import Cache, default_folder
    from compiler.load.state import parse_states
    from compiler.packing import Order
    from compiler.pipeline import Request, compile_model
    from compiler.recipe import hold_same_bytes, read_recipe, request_of
    from compiler.result import Json, to_json
    from compiler.search import Scope
    from compiler.summary import summarize

    kept = Cache(None if no_cache else cache or default_folder())
    given = None
    if recipe is not None:
        given = read_recipe(recipe)
        said = (target, input, labels, name, max_drop, max_ms, task, metric)
        if any(one is not None for one in said) or state or accept_unproven or golden_from_data or model_version != 1:
            raise BadArgumentError(
                "--recipe says already what this compile is", remedy="leave out all but --data, -o and --calibration"
            )
        request = request_of(given, model=model, data=data, output=output, cache=kept)
    elif target is None:
        raise BadArgumentError("compile for which kind of device?", remedy="pass --target; edge targets lists them")
    else:
        request = Request(
            model=model,
            data=data,
            order=Order(target=target, name=name, version=model_version, output=output),
            input_file=input,
            labels_file=labels,
            label_column=label_column,
            task=task,
            metric=metric,
            budget=Budget(
                max_drop=MAX_DROP if max_drop is None else share(max_drop),
                max_ms=None if max_ms is None else positive_ms(max_ms),
                asked=max_drop is not None,
                accept_unproven=accept_unproven,
            ),
            scope=Scope(effort=effort, cache=kept),
            golden_from_data=golden_from_data,
            states=parse_states(state),
        )
    request = replace(request, no_fallback=no_fallback)

    def warn(text: str) -> None:
        console.say(f"warning: {text}")

    predict = predictor(request.order.target, calibration)

    def make() -> tuple[Json, str]:
        compiled = compile_model(request, stage=console.progress, warn=warn, predict=predict)
        return to_json(compiled), summarize(compiled)

    told, text = compile_again(request, cache=kept, calibration=calibration, warn=warn, make=make)
    if given is not None:
        hold_same_bytes(given, told["recipe"]["bundle_sha256"])
    console.emit(told, json=json, text=text)


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
    from compiler.result import evaluation_to_json
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
    cache: Path | None = None,
    no_cache: Flag = False,
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
    cache
        Folder of what was built before; by default `edgewright` in the user's cache folder.
    no_cache
        Build everything anew, and keep nothing.
    json
        Print one JSON object.
    """
    from compiler.cache import Cache, default_folder
    from compiler.explain.bundle import Question, explain_bundle
    from compiler.explain.words import explanation_to_json, summarize_explanation
    from compiler.search import Scope
    from edge.bundle import open_bundle

    scope = Scope(effort=effort, cache=Cache(None if no_cache else cache or default_folder()))
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
