"""Opens what a compile is asked about: the model, the data, and the contract between them."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from compiler.budget import Budget
from compiler.checks import check_task
from compiler.contract import Resolved, beside, read_labels, read_task, resolve_contract
from compiler.dataset import arrange
from compiler.load import SourceModel, load_model
from compiler.packing import Order
from compiler.read_data import open_data
from compiler.search import Scope
from compiler.stage import Stage
from compiler.subject import Subject
from edge.errors import BadArgumentError
from edge.manifest import InputContract, TaskName


@dataclass(frozen=True, slots=True)
class Settled:
    """What a recipe says of model and data: it must be these, and they meet in this way."""

    source_sha256: str
    data_sha256: str
    contract: InputContract
    labels: tuple[str, ...]
    """Class names in the order of the outputs."""


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
    settled: Settled | None = None
    """Given by a recipe: then nothing is looked for beside the model."""
    source: SourceModel | None = field(default=None, repr=False)
    """`model`, if somebody has loaded it already: a function may take long, and is called once."""


def open_subject(request: Request, stage: Stage) -> tuple[Subject, Resolved]:
    """Open model and data, and settle how one becomes the input of the other.

    Raises: FileMissingError, BadModelError, BadDataError, BadInputContractError; BadArgumentError for another model or
    other data than a recipe's.
    """
    if request.settled is not None:
        return _open_again(request, request.settled, stage)
    task = request.task or read_task(request.input_file, beside(request.model)) or "classify"
    data = open_data(request.data, label_column=request.label_column, task=task)
    labels = read_labels(request.labels_file) if request.labels_file else ()
    model = check_task(_load(request, stage), task)
    resolved = resolve_contract(model, data, request.input_file, beside(request.model))
    samples = arrange(data, resolved.contract, labels=labels or resolved.labels, outputs=model.outputs, task=task)
    return Subject(model, resolved.contract, samples, task), resolved


def _open_again(request: Request, settled: Settled, stage: Stage) -> tuple[Subject, Resolved]:
    """Open what a recipe was made of."""
    task = request.task or "classify"
    model = check_task(_load(request, stage), task)
    _hold_same("another model", model.sha256, settled.source_sha256)
    data = open_data(request.data, label_column=request.label_column, task=task)
    labels = settled.labels if task == "classify" else ()
    samples = arrange(data, settled.contract, labels=labels, outputs=model.outputs, task=task)
    _hold_same("other data", samples.sha256, settled.data_sha256)
    return Subject(model, settled.contract, samples, task), Resolved(settled.contract, settled.labels, "the recipe")


def load_source(request: Request, stage: Stage) -> Request:
    """Return the request with its model loaded.

    Raises: FileMissingError, BadModelError, MissingExtraError.
    """
    return replace(request, source=_load(request, stage))


def _load(request: Request, stage: Stage) -> SourceModel:
    if request.source is not None:
        return request.source
    with stage("loading the model", None):
        return load_model(request.model)


def _hold_same(what: str, found: str, wanted: str) -> None:
    if found != wanted:
        raise BadArgumentError(
            f"the recipe is of {what}: sha256 {wanted[:12]}..., and this is {found[:12]}...",
            remedy="give the very files that it was made with, or compile without --recipe",
        )
