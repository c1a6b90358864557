"""Reads labelled samples: a folder of class folders (pictures or sound), an .npz (x, y) or a .csv with a label column.

One file a layout; all give the same `Data`.
"""

from pathlib import Path

from compiler.dataset import Data
from compiler.read_data.folder import open_folder
from compiler.read_data.npz import open_npz
from compiler.read_data.pictures import open_annotated
from compiler.read_data.table import open_table
from edge.errors import BadDataError, FileMissingError
from edge.manifest import TaskName

LAYOUTS = (
    "a folder with one folder of pictures or .wav files per class, an .npz with x and y, or a .csv with a label column"
)


def open_data(path: Path, *, label_column: str = "label", task: TaskName = "classify", stateful: bool = False) -> Data:
    """Look at the samples under `path`; for the task regress, labels are numbers.

    `stateful`: the samples of an .npz are sequences, x [sequences, steps, ...], and y has one label for each, or
    [sequences, steps] for each step; the rows of a .csv are cut into sequences later.

    Raises:
        FileMissingError: nothing is there.
        BadDataError: it is not one of the three layouts, is empty, or holds NaN or infinity.

    """
    if not path.exists():
        raise FileMissingError(f"no data at {path}", remedy=f"--data wants {LAYOUTS}")
    if task == "detect":
        return open_annotated(path)
    if path.is_dir() and stateful:
        raise BadDataError(
            f"{path} is a folder, and a model with a state needs sequences",
            remedy="give an .npz with x [sequences, steps, ...] and y, or the rows of a .csv in their order",
        )
    if path.is_dir() and task != "regress":
        return open_folder(path)
    if path.suffix == ".npz":
        return open_npz(path, numbers=task == "regress", stateful=stateful)
    if path.suffix == ".csv":
        return open_table(path, label_column, numbers=task == "regress")
    raise BadDataError(f"{path} is no data that we read", remedy=f"--data wants {LAYOUTS}")
