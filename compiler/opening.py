"""Opens what a compile is asked about: the model, the data, and the contract between them."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from compiler.arrange import arrange
from compiler.budget import Budget
from compiler.checks import check_memory, check_task
from compiler.contract import Resolved, resolve_contract
from compiler.contract.file import beside, read_labels, read_task
from compiler.dataset import Data
from compiler.detection.arrange import arrange_boxes, assume
from compiler.detection.head import known_labels, shapes_of
from compiler.detection.packed import BoxReader
from compiler.load import SourceModel, load_model
from compiler.load.state import StatePair
from compiler.packing import Order
from compiler.read_data import open_data
from compiler.run import run_reference
from compiler.search import Scope
from compiler.stage import Stage
from compiler.subject import Subject
from edge import console
from edge.errors import BadArgumentError
from edge.manifest import Head, InputContract, TaskName
from edge.target import load_target


@dataclass(frozen=True, slots=True)
class Settled:
    """What a recipe or a study says of model and data: it must be these, and they meet in this way."""

    source_sha256: str
    data_sha256: str
    contract: InputContract
    labels: tuple[str, ...]
    """Class names in the order of the outputs."""
    origin: Literal["recipe", "study"] = "recipe"
    head: Head | None = None
    """Of a detector."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for; paths as given."""

    model: str
    data: Path
    order: Order
    input_file: Path | None = None
    labels_file: Path | None = None
    label_column: str = "label"
    task: TaskName | None = None
    """None: as the input contract says, else classify."""
    metric: str | None = None
    """None: the task's own."""
    budget: Budget = field(default_factory=Budget)
    scope: Scope = field(default_factory=Scope)
    golden_from_data: bool = False
    no_fallback: bool = False
    """Refuse operators on a CPU beside an NPU, or in float, that no plan asked for."""
    states: tuple[StatePair, ...] = ()
    """Which outputs of the model go back in as which inputs."""
    onnx_too: bool = False
    """Convert a float .tflite to ONNX as well, so that onnxruntime and the RK3588's toolkit have something."""
    settled: Settled | None = None
    """Given by a recipe or a study: then nothing is looked for beside the model."""
    source: SourceModel | None = field(default=None, repr=False)
    """`model`, if somebody has loaded it already: a function may take long, and is called once."""


def open_subject(request: Request, stage: Stage) -> tuple[Subject, Resolved]:
    """Open model and data, and settle how one becomes the input of the other.

    Raises: FileMissingError, BadModelError, BadDataError, BadInputContractError; BadArgumentError for another model or
    other data than a recipe's or a study's; TargetUnsupportedError for a state on a target that carries none.
    """
    if request.settled is not None:
        return _open_again(request, request.settled, stage)
    task = request.task or read_task(request.input_file, beside(request.model)) or "classify"
    if request.states:
        check_memory(task, load_target(request.order.target))
    data = open_data(request.data, label_column=request.label_column, task=task, stateful=bool(request.states))
    labels = read_labels(request.labels_file) if request.labels_file else ()
    model = check_task(_load(request, stage), task)
    model = _converted(model, request, stage)
    resolved = resolve_contract(model, data, request.input_file, beside(request.model), task=task)
    return subject_of(model, data, resolved, labels or resolved.labels, task, stage), resolved


def subject_of(
    model: SourceModel, data: Data, resolved: Resolved, labels: tuple[str, ...], task: TaskName, stage: Stage
) -> Subject:
    """Give every sample its truth; a detector's, where nobody drew boxes, is what the model itself sees in float."""
    if resolved.head is None:
        stateful = bool(model.state)
        samples = arrange(data, resolved.contract, labels=labels, outputs=model.outputs, task=task, stateful=stateful)
        return Subject(model, resolved.contract, samples, task)
    shapes = shapes_of(model)
    samples = arrange_boxes(data, resolved.contract, labels=labels, count=known_labels(resolved.head, shapes))
    subject = Subject(model, resolved.contract, samples, task, BoxReader(resolved.head, len(samples.classes), shapes))
    if not samples.assumed:
        return subject
    with stage("what the float model sees", len(samples)) as step:
        return replace(subject, samples=assume(samples, run_reference(subject, step).values, resolved.head.floor))


def _open_again(request: Request, settled: Settled, stage: Stage) -> tuple[Subject, Resolved]:
    """Open what a recipe or a study was made of."""
    task = request.task or "classify"
    if request.states:
        check_memory(task, load_target(request.order.target))
    model = check_task(_load(request, stage), task)
    _hold_same(settled, "another model", model.sha256, settled.source_sha256)
    model = _converted(model, request, stage)
    data = open_data(request.data, label_column=request.label_column, task=task, stateful=bool(request.states))
    labels = settled.labels if task in {"classify", "detect"} else ()
    resolved = Resolved(settled.contract, settled.labels, f"the {settled.origin}", settled.head)
    subject = subject_of(model, data, resolved, labels, task, stage)
    _hold_same(settled, "other data", subject.samples.sha256, settled.data_sha256)
    return subject, resolved


def _converted(model: SourceModel, request: Request, stage: Stage) -> SourceModel:
    """Add the ONNX form where it was asked for."""
    if not request.onnx_too:
        return model
    from compiler.export.tflite_to_onnx import with_onnx

    with stage("converting to ONNX", None):
        return with_onnx(model, console.say)


def load_source(request: Request, stage: Stage) -> Request:
    """Return the request with its model loaded.

    Raises: FileMissingError, BadModelError, MissingExtraError.
    """
    return replace(request, source=_load(request, stage))


def _load(request: Request, stage: Stage) -> SourceModel:
    if request.source is not None:
        return request.source
    with stage("loading the model", None):
        return load_model(request.model, request.states)


def _hold_same(settled: Settled, what: str, found: str, wanted: str) -> None:
    if found != wanted:
        raise BadArgumentError(
            f"the {settled.origin} is of {what}: sha256 {wanted[:12]}..., and this is {found[:12]}...",
            remedy=f"give the very files that it was made with, or compile without --{settled.origin}",
        )
