"""The configuration as a JSON Schema, for editors: every section, and for each kind its own keys.

A kind of the user's own ("file.py:Class", or of a package) may have any keys: its class is not loaded here.
"""

import types
import typing
from pathlib import Path
from typing import Any

import msgspec

from edge_agent import config
from edge_agent.config import AgentConfig, Section
from edge_agent.plugins import Nested, load_class

Schema = dict[str, Any]  # JSON: an object of a JSON Schema
DIALECT = "https://json-schema.org/draft/2020-12/schema"
_OPTIONAL_HERE = {"max_age_ms", "safe_state"}
"""Of an actuator: filled in from `guard` and `decider`."""


def make_schema() -> Schema:
    """Everything that `load_config` takes, and nothing that it refuses for its keys or its types."""
    hints = typing.get_type_hints(AgentConfig, include_extras=True)
    fields = [field for field in msgspec.structs.fields(AgentConfig) if field.name != "folder"]
    needed = [field.name for field in fields if field.required and field.name != "decider"]
    return {
        "$schema": DIALECT,
        "title": "edge agent",
        "type": "object",
        "properties": {field.name: _section(hints[field.name]) for field in fields},
        "required": needed,
        "additionalProperties": False,
    }


def _section(kind: Any) -> Schema:  # noqa: ANN401 - a type, as annotations have it
    """One key of the top level."""
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is tuple and arguments[0] in config.TABLES:
        least = {} if arguments[0] is config.SensorConfig else {"minItems": 1}
        return {"type": "array", **least, "items": _chosen(arguments[0])}
    if kind in config.TABLES:
        return _chosen(kind)
    if typing.get_origin(kind) is types.UnionType and type(None) in arguments:
        return {"anyOf": [_section(arguments[0]), {"type": "null"}]}
    return _plain(kind)


def _chosen(section: type[Section]) -> Schema:
    """A section whose `kind` says which other keys it has."""
    common = _plain(section)
    common["properties"].pop("options")
    table, group = config.TABLES[section]
    default = common["properties"]["kind"].get("default")
    branches = [
        {
            "if": _is_kind(name, required=name != default),
            "then": _with_options(common, load_class(name, table, group, Path())),
        }
        for name in table
    ]
    kind = {"anyOf": [{"enum": list(table)}, {"type": "string"}]} | ({"default": default} if default else {})
    return {
        "type": "object",
        "description": common.get("description", ""),
        "properties": common["properties"] | {"kind": kind},
        "required": [] if default else ["kind"],
        "allOf": branches,
    }


def _is_kind(name: str, *, required: bool) -> Schema:
    return {"properties": {"kind": {"const": name}}} | ({"required": ["kind"]} if required else {})


def _with_options(common: Schema, cls: Any) -> Schema:  # noqa: ANN401 - any plug-in class
    own = _plain(cls.Options)
    needed = [key for key in common["required"] if key not in _OPTIONAL_HERE] + own["required"]
    return {
        "description": own.get("description", ""),
        "properties": common["properties"] | own["properties"],
        "required": needed,
        "additionalProperties": False,
    }


def _plain(kind: Any) -> Schema:  # noqa: ANN401
    """What msgspec says of a type, every reference put in place."""
    schema = msgspec.json.schema(kind, schema_hook=_foreign)
    return typing.cast("Schema", _resolved(schema, schema.get("$defs", {})))


def _resolved(node: Any, known: Schema) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(node, list):
        return [_resolved(one, known) for one in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _resolved(known[node["$ref"].rpartition("/")[2]], known)
    return {key: _resolved(value, known) for key, value in node.items() if key != "$defs"}


def _foreign(kind: type) -> Schema:
    if kind is Path:
        return {"type": "string"}
    if issubclass(kind, Nested):  # a class within options: its own keys depend on its kind
        return {"type": "object", "properties": {"kind": {"type": "string"}}, "required": ["kind"]}
    raise NotImplementedError(kind)
