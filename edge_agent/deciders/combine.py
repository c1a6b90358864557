"""`any`, `all`, `priority`: several deciders, one action. "Obstacle beats green" is `priority: obstacle, classify`.

Every part sees every frame, so that its own memory (a hold, the last scan) has no gaps. What is told of the decision,
label and score, is that of the first part that names a label, whichever part chose the action.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from edge.errors import BadConfigError
from edge_agent.deciders import NOTHING, SAFE, Decision, Inputs, action_index, make_decider
from edge_agent.plugins import Nested

Parts = Annotated[tuple[Nested, ...], msgspec.Meta(min_length=2, max_length=16)]


class _Combined:
    """Deciders side by side."""

    class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Which ones."""

        of: Parts
        """Deciders, each with `kind` and its keys."""

    def __init__(self, options: Options, labels: tuple[str, ...], actions: tuple[str, ...]) -> None:
        self._parts = [make_decider(part.kind, part.options, part.folder, labels, actions) for part in options.of]
        self.needs_sample = any(part.needs_sample for part in self._parts)
        self.needs_head = any(getattr(part, "needs_head", False) for part in self._parts)
        told = [getattr(part, "score_of", "") for part in self._parts]
        self.score_of = next((kind for kind in told if kind != NOTHING), NOTHING)

    @property
    def floor(self) -> float:
        """The highest of the parts'; `zones` learns its own from the bundle, with the first frame."""
        return max(part.floor for part in self._parts)

    def decide(self, inputs: Inputs) -> Decision:
        """Ask all of them, and choose."""
        said = [part.decide(inputs) for part in self._parts]
        seen = next((decision for decision in said if decision.label >= 0), said[0])
        return seen._replace(action=self._choose([decision.action for decision in said]))

    def _choose(self, actions: list[int]) -> int:
        raise NotImplementedError


class Any(_Combined):
    """The first part that does not choose the safe action is obeyed."""

    def _choose(self, actions: list[int]) -> int:
        return next((action for action in actions if action != SAFE), SAFE)


class All(_Combined):
    """An action that all parts choose; the safe one unless they agree."""

    def _choose(self, actions: list[int]) -> int:
        return actions[0] if len(set(actions)) == 1 else SAFE


class Priority(_Combined):
    """The first part that chooses none of the actions it `passes` is obeyed; the last part always is."""

    class Options(_Combined.Options, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """Which ones, and when the next one is asked."""

        passes: tuple[str, ...] | None = None
        """Actions that leave the choice to the next part; by default all but the safe one."""

    def __init__(self, options: Options, labels: tuple[str, ...], actions: tuple[str, ...]) -> None:
        super().__init__(options, labels, actions)
        named = actions[1:] if options.passes is None else options.passes
        self._passes = {action_index(name, actions) for name in named}
        if SAFE in self._passes:
            raise BadConfigError(
                f"decider: {actions[SAFE]!r} cannot pass, for it is what a part says in doubt",
                remedy="leave it out of `passes`, or order the parts otherwise",
            )

    def _choose(self, actions: list[int]) -> int:
        return next((action for action in actions if action not in self._passes), actions[-1])
