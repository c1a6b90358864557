"""`print`: says on stderr when the action changes. For a first try without any hardware."""

import sys

import msgspec

from edge_agent.actuators import Application


class Printer:
    """One line for each change."""

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """None."""

    def __init__(self, _options: Options, _actions: tuple[str, ...]) -> None:
        self._last: tuple[str, bool] | None = None

    def apply(self, application: Application) -> None:
        """Print the action if it is another one than before."""
        now = (application.action, application.safe)
        if now != self._last:
            self._last = now
            print(f"{application.action}{' (safe state)' if application.safe else ''}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Nothing to let go of."""
