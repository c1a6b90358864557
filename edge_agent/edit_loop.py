"""The text of a configuration with other settings in its `loop`, and every other character as it was.

The YAML parser says where each value stands; only values of `loop` are replaced, and keys that are missing added behind
the last one. What comes out is read again: if it says anything else than the text did, but for these settings, it is
refused. So YAML that is used in a way not foreseen here is never spoilt.
"""

import json
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import yaml

from edge.errors import BadConfigError
from edge_agent.choose_loop import settings_of
from edge_agent.config import LoopConfig

Values = Mapping[str, int | float | bool | None]


class Edit(NamedTuple):
    """Replace the characters from `start` to `end`."""

    start: int
    end: int
    text: str


def edit_loop(text: str, chosen: LoopConfig, name: str) -> str:
    """The same text with the settings of `chosen` in it; `name` of the file, for the error.

    Raises: `BadConfigError` if anything else in it would say something new.
    """
    settings, edited = _values_of(chosen), text
    for one in sorted(_plan(text, settings), key=lambda edit: edit.start, reverse=True):  # the last one first
        edited = edited[: one.start] + one.text + edited[one.end :]
    if not _differ_in_loop_only(text, edited, settings):
        raise BadConfigError(
            f"{name}: `loop` cannot be written without changing something else (an anchor, or unusual YAML)",
            remedy=f"write it yourself: {loop_line(chosen)}",
        )
    return edited


def loop_line(chosen: LoopConfig) -> str:
    """The chosen settings as a line of the file; what is as it comes is left out."""
    return f"loop: {{{_pairs(_unusual(_values_of(chosen)))}}}"


def _plan(text: str, settings: Values) -> list[Edit]:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        return []
    quote, loop = bool(root.flow_style), _nodes(root).get("loop")
    if loop is None:
        return [_add_section(text, root, f"{{{_pairs(_unusual(settings), quote=quote)}}}")]
    if not isinstance(loop, yaml.MappingNode):
        return [_replace(loop, f"{{{_pairs(_unusual(settings), quote=quote)}}}")]
    there = _nodes(loop)
    missing = {key: value for key, value in _unusual(settings).items() if key not in there}
    added = [_add_keys(text, loop, missing, quote=quote)] if missing else []
    return added + [_replace(node, json.dumps(settings[key])) for key, node in there.items() if key in settings]


def _values_of(loop: LoopConfig) -> Values:
    return msgspec.structs.asdict(settings_of(loop))


def _unusual(settings: Values) -> Values:
    """Without what is as it comes; but never empty."""
    usual = _values_of(LoopConfig())
    return {key: value for key, value in settings.items() if key == "threads" or value != usual[key]}


def _nodes(node: yaml.MappingNode) -> dict[str, yaml.Node]:
    return {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}


def _replace(node: yaml.Node, text: str) -> Edit:
    """A value that is left out ends where its key does: it needs a space."""
    start, end = node.start_mark.index, node.end_mark.index
    return Edit(start, end, text if end > start else f" {text}")


def _add_section(text: str, root: yaml.MappingNode, section: str) -> Edit:
    """At the end of the file; of one in braces, as JSON is, behind the last value."""
    if root.flow_style:
        at = root.value[-1][1].end_mark.index
        return Edit(at, at, f', "loop": {section}')
    newline = _newline(text)
    before = "" if text.endswith("\n") else newline
    return Edit(len(text), len(text), f"{before}{' ' * root.start_mark.column}loop: {section}{newline}")


def _add_keys(text: str, loop: yaml.MappingNode, settings: Values, *, quote: bool) -> Edit:
    """Behind the last key."""
    if loop.flow_style:
        at = loop.value[-1][1].end_mark.index if loop.value else loop.start_mark.index + 1
        return Edit(at, at, ", " * bool(loop.value) + _pairs(settings, quote=quote))
    indent, newline = " " * loop.start_mark.column, _newline(text)
    lines = [f"{indent}{key}: {json.dumps(value)}{newline}" for key, value in settings.items()]
    end = text.find("\n", loop.value[-1][1].end_mark.index)  # behind a comment on that line
    return Edit(end + 1, end + 1, "".join(lines)) if end >= 0 else Edit(len(text), len(text), newline + "".join(lines))


def _pairs(settings: Values, *, quote: bool = False) -> str:
    """Numbers, truth values and null are the same in YAML and in JSON."""
    return ", ".join(f"{json.dumps(key) if quote else key}: {json.dumps(value)}" for key, value in settings.items())


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _differ_in_loop_only(text: str, edited: str, settings: Values) -> bool:
    before = yaml.safe_load(text)
    try:
        after = yaml.safe_load(edited)
    except yaml.YAMLError:
        return False
    if not isinstance(before, dict):
        return False
    loop = before.get("loop") or {}
    wanted = {key: value for key, value in settings.items() if key in loop or key in _unusual(settings)}
    return bool(after == before | {"loop": loop | wanted})
