"""`edge targets`."""

from typing import Annotated

import msgspec
from cyclopts import Parameter

from edge import console
from edge.target import Target, load_target, target_names


class Targets(msgspec.Struct, frozen=True, kw_only=True):
    """What `edge targets --json` prints."""

    targets: tuple[Target, ...]


def targets_command(name: str | None = None, /, *, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """List the kinds of device, or show one.

    Parameters
    ----------
    name
        One target, with all of its facts and where they come from.
    json
        Print one JSON object.
    """
    if name is not None:
        target = load_target(name)
        console.emit(target, json, lambda: _one(target))
        return
    targets = tuple(load_target(each) for each in target_names())
    console.emit(Targets(targets=targets), json, lambda: _all(targets))


def _all(targets: tuple[Target, ...]) -> str:
    rows = [
        (t.name, t.title, ", ".join(t.cores), t.npu or ", ".join(t.runtimes), "yes" if t.supported else "not yet")
        for t in targets
    ]
    return console.table(("TARGET", "DEVICE", "CORES", "RUNS ON", "COMPILES"), rows)


def _one(target: Target) -> str:
    facts: list[tuple[str, str]] = []
    for fact, source in target.sources.items():
        value = getattr(target, fact)
        words = ", ".join(value) if isinstance(value, tuple) else str(value)
        facts.append((fact, f"{words or 'none'}\n{'':<14}({source})"))
    for each in target.int8_speedup:
        factor = "unknown" if each.factor is None else f"{each.factor:g} x"
        facts.append(("int8 gains", f"{factor} on {each.runtime}\n{'':<14}({each.source})"))
    if target.note:
        facts.append(("note", target.note))
    state = "" if target.supported else " (this release cannot compile for it)"
    return "\n".join([f"{target.name}: {target.title}{state}", *(f"  {fact:<12}{words}" for fact, words in facts)])
