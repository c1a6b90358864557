"""Options that several commands share: what is compiled, with which samples, for what, and where results are kept."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from edge.errors import BadArgumentError
from edge.manifest import MetricName, TaskName

if TYPE_CHECKING:
    from compiler.cache import Cache
    from compiler.opening import Request

Flag = Annotated[bool, Parameter(negative="")]


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Kept:
    """Where what was built is kept, for the next time.

    Attributes
    ----------
    cache
        Folder of what was built before; by default `edgewright` in the user's cache folder.
    no_cache
        Build everything anew, and keep nothing.
    """

    cache: Path | None = None
    no_cache: Flag = False

    def open(self) -> "Cache":
        """Return the cache, which may be of no folder."""
        from compiler.cache import Cache, default_folder

        return Cache(None if self.no_cache else self.cache or default_folder())


KEPT = Kept()


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Given:
    """Model, data and target, as the command line names them.

    Parameters
    ----------
    data
        Labelled samples: a folder of class folders (pictures or .wav), an .npz (x, y) or a .csv; for a detector a
        folder of pictures with annotations.json (COCO). A fifth calibrates, a fifth chooses, the rest proves.
    target
        Kind of device; `edge targets` lists them. Only a recipe says it by itself.
    input
        Input contract as TOML; by default NAME.input.toml beside the model. What is open is listed ready to paste.
    labels
        Class names, one a line, in the order of the model's outputs.
    label_column
        Column of a .csv that holds the label.
    name
        Name of the model in the fleet; by default made of the file name.
    task
        classify, anomaly (labels are normal and anomaly), regress (y are numbers) or detect (boxes: the input contract
        has a table [head]); by default as the input contract says, else classify.
    state
        For a network with a memory, INPUT=OUTPUT: this output goes back in as that input at the next step, and is
        zero at first. Once for each state: --state h=h_next --state c=c_next. An output without a name is a number,
        from 0. The data are then sequences: x [n, steps, ...] in an .npz, or the rows of a .csv in their order.
    metric
        By default accuracy, auc, mae or map, by the task; also top5, f1, correlation (with the float model) and map50.
    calibration
        What a board of this kind measured (`edge bench --calibration`): its times replace and scale predictions.
    kept
        Where what was built is kept.
    """

    data: Path
    target: str | None = None
    input: Path | None = None
    labels: Path | None = None
    label_column: str = "label"
    name: str | None = None
    task: TaskName | None = None
    state: tuple[str, ...] = ()
    metric: MetricName | None = None
    calibration: Path | None = None
    kept: Kept = KEPT

    @property
    def says_how(self) -> bool:
        """Whether it says how model and data meet: what a recipe or a study has settled."""
        return bool(self.state) or any(one is not None for one in (self.input, self.labels, self.task, self.metric))

    def request(self, model: str, *, version: int = 1, output: Path | None = None) -> "Request":
        """Ask for this model, with the usual budget and effort.

        Raises: BadArgumentError without a target, or for what is no state.
        """
        from compiler.load.state import parse_states
        from compiler.opening import Request
        from compiler.packing import Order
        from compiler.search import Scope

        if self.target is None:
            raise BadArgumentError("for which kind of device?", remedy="pass --target; edge targets lists them")
        return Request(
            model=model,
            data=self.data,
            order=Order(target=self.target, name=self.name, version=version, output=output),
            input_file=self.input,
            labels_file=self.labels,
            label_column=self.label_column,
            task=self.task,
            metric=self.metric,
            states=parse_states(self.state),
            scope=Scope(cache=self.kept.open()),
        )
