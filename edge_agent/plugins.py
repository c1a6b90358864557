"""Sources, deciders and actuators: from the name in a configuration to an object.

A name is short ("camera"), or "file.py:Class" for the user's own, or an entry point of a package. Every class has
`Options`, a msgspec Struct that forbids unknown fields, and takes one as its first argument. A `Path` in them is
relative to the configuration's folder.
"""

import difflib
import importlib
import importlib.util
import re
import sys
from collections.abc import Collection, Iterable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from edge.errors import BadConfigError

T = TypeVar("T")
_UNKNOWN = re.compile(r"unknown field `(?P<key>.*?)`")


def load_class(kind: str, table: Mapping[str, str], group: str, folder: Path) -> Any:  # noqa: ANN401 - the user's class
    """Find the class behind `kind`.

    Args:
        kind: short name, "file.py:Class" relative to `folder`, or the name of an entry point.
        table: short name -> "module:Class".
        group: of the entry points.
        folder: of the configuration.

    Raises: `BadConfigError` if there is none, or it cannot be imported.
    """
    if kind in table:
        return _from_module(table[kind])
    if ".py:" in kind:
        return _from_file(kind, folder)
    found = [point for point in entry_points(group=group) if point.name == kind]
    if found:
        return _from_module(found[0].value)
    installed = [point.name for point in entry_points(group=group)]
    raise BadConfigError(f"no {group.rpartition('.')[2]} named {kind!r}", remedy=nearest(kind, [*table, *installed]))


def read_options(cls: Any, options: Mapping[str, Any], *, folder: Path, where: str) -> Any:  # noqa: ANN401
    """Check the user's options against `cls.Options`; raises `BadConfigError` with the nearest key."""
    return convert(dict(options), cls.Options, folder=folder, where=where)


def convert(data: object, kind: type[T], *, folder: Path, where: str, also: Collection[str] = ()) -> T:
    """Make `kind` of plain data; `also` are keys that belong to the same mapping and may have been meant.

    Raises: `BadConfigError` that names the place and, for an unknown key, the nearest known one.
    """
    try:
        return msgspec.convert(data, kind, dec_hook=_paths_in(folder))
    except msgspec.ValidationError as exc:
        unknown = _UNKNOWN.search(str(exc))
        if unknown is None:
            raise BadConfigError(f"{where}: {exc}", remedy="correct this value in the configuration") from exc
        key = unknown["key"]
        known = [*getattr(kind, "__struct_fields__", ()), *also]
        raise BadConfigError(f"{where}: unknown key {key!r}", remedy=nearest(key, known)) from exc


def nearest(word: str, known: Iterable[str]) -> str:
    """A remedy that names the known word most like `word`, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"use one of: {', '.join(names) or 'none'}"


class Nested:
    """A class by name within the options of another one: `{kind: ..., its keys}`.

    No dataclass, for msgspec would read one by its fields.
    """

    def __init__(self, kind: str, options: dict[str, Any], folder: Path) -> None:
        """`folder`: of the configuration."""
        self.kind, self.options, self.folder = kind, options, folder


def _paths_in(folder: Path) -> Any:  # noqa: ANN401 - msgspec's hook is untyped
    def hook(kind: type, value: object) -> object:
        if kind is Nested and isinstance(value, dict) and isinstance(value.get("kind"), str):
            return Nested(value["kind"], {key: value[key] for key in value if key != "kind"}, folder)
        if kind is Nested:
            raise ValueError("Expected keys, one of them `kind`")
        if kind is Path and isinstance(value, str):
            return folder / Path(value).expanduser()
        raise ValueError(f"Expected `{kind.__name__}`, got `{type(value).__name__}`")  # msgspec adds the place

    return hook


def _from_module(reference: str) -> Any:  # noqa: ANN401
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


def _from_file(kind: str, folder: Path) -> Any:  # noqa: ANN401
    file, _, name = kind.rpartition(":")
    path = folder / file
    spec = importlib.util.spec_from_file_location(f"edge_plugin_{path.stem}", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise BadConfigError(f"no file {path}", remedy="name a Python file relative to the configuration")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    cls = getattr(module, name, None)
    if cls is None or not hasattr(cls, "Options"):
        raise BadConfigError(f"{path} has no class {name!r} with Options", remedy="see docs/agent.md, own classes")
    return cls
