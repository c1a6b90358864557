"""What `led` and `servo` share: a number for each action, and gpiozero, which may be missing."""

from collections.abc import Iterable, Mapping
from types import ModuleType

from edge.errors import BadConfigError, MissingExtraError


def check_values(values: Mapping[str, float], actions: Iterable[str], kind: str) -> None:
    """Raise `BadConfigError` unless every action has a value."""
    for action in actions:
        if action not in values:
            raise BadConfigError(
                f"{kind}: no value for the action {action!r}", remedy=f"add {action}: NUMBER to its values"
            )


def load_gpiozero() -> ModuleType:
    """Import gpiozero, or raise `MissingExtraError`."""
    try:
        import gpiozero
    except ImportError as exc:
        raise MissingExtraError("pins need gpiozero", remedy="pip install 'edgewright[agent]'") from exc
    module: ModuleType = gpiozero
    return module
