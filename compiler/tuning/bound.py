"""What a study was made for: only workers of the same question, with the same code, may add to its answers. Pure."""

from typing import Literal

import msgspec

from edge.errors import StudyError
from edge.manifest import Head, InputContract, MetricName, RuntimeName, TaskName

Unit = Literal["ms", "KiB"]


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a result depends on but the plan. The budget is not among it: it chooses from the front later."""

    model: str
    """sha256 of its content."""
    data: str
    """sha256 of contents and labels."""
    input: InputContract
    labels: tuple[str, ...]
    """Class names in the order of the outputs; empty but for a classifier."""
    head: Head | None = None
    """Of a detector."""
    states: str = ""
    """As `read_states` reads them; empty for a model without a memory."""
    label_column: str
    task: TaskName
    metric: MetricName
    target: str
    facts: str
    """Hash of the target's facts, and of the board's calibration if there is one."""
    runtime: RuntimeName
    """Whose plans are searched: the target's first that this model reaches."""
    unit: Unit
    """What a plan costs is counted in this."""
    code: str
    """Hash of our own source."""
    tools: dict[str, str]
    """Versions of what shapes a file."""


_WORDS: dict[str, str] = {
    "model": "another model",
    "data": "other data",
    "input": "another input contract",
    "labels": "other class names",
    "head": "another head of the detector",
    "states": "other states",
    "label_column": "another label column",
    "task": "another task",
    "metric": "another metric",
    "target": "another target",
    "facts": "other facts of the target, or another board's calibration",
    "runtime": "another runtime",
    "unit": "another measure of cost",
    "code": "another release of edgewright",
    "tools": "other versions of the tools",
}


def differences(was: Bound, now: Bound) -> tuple[str, ...]:
    """Name in words what differs, with both values where they are short; empty if nothing does."""
    return tuple(
        f"{words} ({_short(getattr(was, name))}, here {_short(getattr(now, name))})"
        if name not in {"input", "labels", "head", "facts", "tools"}
        else f"{words}{_versions(was, now) if name == 'tools' else ''}"
        for name, words in _WORDS.items()
        if getattr(was, name) != getattr(now, name)
    )


def hold_same(study: str, was: Bound, now: Bound) -> None:
    """Hold that a worker asks what the study was made for.

    Raises: StudyError that names what differs.
    """
    found = differences(was, now)
    if found:
        raise StudyError(
            f"the study {study!r} was made for {', '.join(found)}",
            remedy="give what it was made for, or begin another study with --study-name",
        )


def _short(value: str) -> str:
    return f"{value[:12]}..." if len(value) > 40 else value


def _versions(was: Bound, now: Bound) -> str:
    names = sorted(name for name in was.tools.keys() | now.tools.keys() if was.tools.get(name) != now.tools.get(name))
    return "".join(f"; {name} {was.tools.get(name, 'absent')}, here {now.tools.get(name, 'absent')}" for name in names)
