"""What a user writes beside a model: NAME.input.toml, and a list of class names."""

import difflib
import tomllib
from pathlib import Path
from typing import Any, cast, get_args

from compiler.contract.kind import KINDS
from edge.errors import BadDataError, BadInputContractError, FileMissingError
from edge.manifest import TaskName

TASKS = get_args(TaskName)
KEYS = {"kind", "labels", "task", "head", *(field for kind in KINDS.values() for field in kind.__struct_fields__)}


def beside(model: str) -> Path:
    """Return where NAME.input.toml lies: next to NAME.onnx, or next to NAME.py of `NAME.py:function`."""
    file, _, function = model.rpartition(":")
    path = Path(file if file.endswith(".py") and function.isidentifier() else model)
    return path.with_name(f"{path.stem}.input.toml")


def named_or_beside(input_file: Path | None, beside: Path | None) -> Path | None:
    """Return the file that the user named; else the one beside the model, if it is there."""
    if input_file is not None:
        return input_file
    return beside if beside is not None and beside.is_file() else None


def read_task(input_file: Path | None, beside: Path | None) -> TaskName | None:
    """The `task` that the input contract states, if there is one that does; raises BadInputContractError."""
    file = named_or_beside(input_file, beside)
    given = read_fields(file).get("task") if file is not None else None
    if given is not None and given not in TASKS:
        raise BadInputContractError(f"{file} has the unknown task {given!r}", remedy=f"one of {', '.join(TASKS)}")
    return cast("TaskName | None", given)


def read_fields(file: Path) -> dict[str, Any]:
    """Read a contract file, all keys of which are known; msgspec checks the types when they become a contract.

    Raises: FileMissingError; BadInputContractError if it is not TOML, or has an unknown key.
    """
    if not file.is_file():
        raise FileMissingError(
            f"no input contract at {file}", remedy="--input wants a TOML file; without it the model's needs are listed"
        )
    try:
        given = tomllib.loads(file.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise BadInputContractError(f"{file} is not TOML: {exc}", remedy="write lines such as  width = 96") from exc
    for key in given:
        if key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(sorted(KEYS))}"
            raise BadInputContractError(f"{file} has the unknown key {key!r}", remedy=hint)
    return given


def read_labels(file: Path) -> tuple[str, ...]:
    """Read class names, one a line, in the order of the model's outputs."""
    if not file.is_file():
        raise FileMissingError(
            f"no labels file at {file}", remedy="--labels wants a text file with one class name a line"
        )
    try:
        names = tuple(line.strip() for line in file.read_text("utf-8").splitlines() if line.strip())
    except UnicodeDecodeError as exc:
        raise BadDataError(
            f"{file} is no text", remedy="--labels wants a UTF-8 file with one class name a line"
        ) from exc
    if not names:
        raise BadDataError(
            f"{file} holds no class names", remedy="write one class name a line, in the order of the model's outputs"
        )
    return names
