"""Opens what a compile is asked about: the model, the data, and the contract between them."""

from dataclasses import dataclass, field
from pathlib import Path

from compiler.budget import Budget
from compiler.candidate import load_model
from compiler.checks import check_task
from compiler.contract import Resolved, beside, read_labels, read_task, resolve_contract
from compiler.dataset import arrange
from compiler.packing import Order
from compiler.read_data import open_data
from compiler.search import Scope
from compiler.stage import Stage
from compiler.subject import Subject
from edge.manifest import TaskName


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


def open_subject(request: Request, stage: Stage) -> tuple[Subject, Resolved]:
    """Open model and data, and settle how one becomes the input of the other.

    Raises: FileMissingError, BadModelError, BadDataError, BadInputContractError.
    """
    task = request.task or read_task(request.input_file, beside(request.model)) or "classify"
    data = open_data(request.data, label_column=request.label_column, task=task)
    labels = read_labels(request.labels_file) if request.labels_file else ()
    with stage("loading the model", None):
        model = check_task(load_model(request.model), task)
    resolved = resolve_contract(model, data, request.input_file, beside(request.model))
    samples = arrange(data, resolved.contract, labels=labels or resolved.labels, outputs=model.outputs, task=task)
    return Subject(model, resolved.contract, samples, task), resolved
