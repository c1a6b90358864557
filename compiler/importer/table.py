"""Which ONNX operators are translated: functions register themselves with `@operator("Conv", since=1)`."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from compiler.importer.node import Node

Result = Tensor | tuple[Tensor, ...]
Translate = Callable[[Node], Result]


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator from one opset on."""

    kind: str
    since: int
    """First opset whose meaning the function implements; it holds up to the next entry of the same kind."""
    constant_inputs: tuple[int, ...]
    """Inputs that decide sizes, so they must be known before run time."""
    translate: Translate


OPERATORS: dict[str, list[Operator]] = {}


def operator(*kinds: str, since: int = 1, constant: tuple[int, ...] = ()) -> Callable[[Translate], Translate]:
    """Register a function as the meaning of `kinds` from opset `since` on."""

    def register(translate: Translate) -> Translate:
        for kind in kinds:
            versions = OPERATORS.setdefault(kind, [])
            versions.append(Operator(kind, since, constant, translate))
            versions.sort(key=lambda version: version.since)
        return translate

    return register


def find_operator(kind: str, domain: str, opset: int) -> Operator | None:
    """Return the entry that holds at this opset; None if nothing is claimed."""
    if domain not in {"", "ai.onnx"}:
        return None
    fitting = [version for version in OPERATORS.get(kind, []) if version.since <= opset]
    return fitting[-1] if fitting else None
