"""Opens what a compile is asked about: the model, the data, and the contract between them."""

from dataclasses import dataclass, field
from pathlib import Path

from compiler.budget import Budget
from compiler.candidate import load_model
from compiler.checks import check_task
from compiler.contract import Resolved, beside, read_labels, read_task, resolve_contract
from compiler.dataset import arrange
from compiler.load.state import StatePair
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
    states: tuple[StatePair, ...] = ()
    """Which outputs of the model go back in as which inputs."""
    settled: Settled | None = None
    """Given by a recipe: then nothing is looked for beside the model."""


def open_subject(request: Request, stage: Stage) -> tuple[Subject, Resolved]:
    """Open model and data, and settle how one becomes the input of the other.

    Raises: FileMissingError, BadModelError, BadDataError, BadInputContractError; BadArgumentError for another model or
    other data than a recipe's.
    """
    if request.settled is not None:
        return _open_again(request, request.settled, stage)
    task = request.task or read_task(request.input_file, beside(request.model)) or "classify"
    stateful = bool(request.states)
    data = open_data(request.data, label_column=request.label_column, task=task, stateful=stateful)
    labels = read_labels(request.labels_file) if request.labels_file else ()
    with stage("loading the model", None):
        model = check_task(load_model(request.model, request.states), task)
    resolved = resolve_contract(model, data, request.input_file, beside(request.model))
    samples = arrange(
        data,
        resolved.contract,
        labels=labels or resolved.labels,
        outputs=model.outputs,
        task=task,
        stateful=stateful,
    )
    return Subject(model, resolved.contract, samples, task), resolved


def _open_again(request: Request, settled: Settled, stage: Stage) -> tuple[Subject, Resolved]:
    """Open what a recipe was made of."""
    task = request.task or "classify"
    with stage("loading the model", None):
        model = check_task(load_model(request.model, request.states), task)
    _hold_same("another model", model.sha256, settled.source_sha256)
    stateful = bool(request.states)
    data = open_data(request.data, label_column=request.label_column, task=task, stateful=stateful)
    labels = settled.labels if task == "classify" else ()
    samples = arrange(data, settled.contract, labels=labels, outputs=model.outputs, task=task, stateful=stateful)
    _hold_same("other data", samples.sha256, settled.data_sha256)
    return Subject(model, settled.contract, samples, task), Resolved(settled.contract, settled.labels, "the recipe")


def _hold_same(what: str, found: str, wanted: str) -> None:
    if found != wanted:
        raise BadArgumentError(
            f"the recipe is of {what}: sha256 {wanted[:12]}..., and this is {found[:12]}...",
            remedy="give the very files that it was made with, or compile without --recipe",
        )
