"""One worker of a study: asks for a plan, builds and measures it, writes down what came out, until time is up."""

import random
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Protocol

from compiler.candidate import Candidate
from compiler.plan import Plan, parse_plan
from compiler.tuning.space import Space
from compiler.tuning.study import Book, RefusedError, TakenError
from compiler.tuning.tried import Tried
from edge.errors import BadModelError

if TYPE_CHECKING:
    from optuna import Trial

STALE = 10
"""Proposals in a row that bring nothing new, after which a plan is drawn from those that nobody has tried."""


class Workshop(Protocol):
    """Builds and measures; `compiler.tuning.terrain.Terrain` does."""

    def build(self, plan: Plan) -> Candidate:
        """Build one plan; raises BadModelError."""

    def measure(self, plan: Plan, candidate: Candidate) -> Tried:
        """Measure its file."""

    def retold(self, plan: Plan, candidate: Candidate, seen: Tried) -> Tried:
        """Say of a plan what is known of its file."""


@dataclass(slots=True)
class Worker:
    """Counts what it did itself."""

    book: Book
    workshop: Workshop
    space: Space
    seeds: tuple[Plan, ...]
    chance: random.Random
    tell: Callable[[Tried], None]
    """Hears of every plan that this worker tried."""
    stale: int = STALE
    measured: int = 0
    refused: int = 0
    exhausted: bool = False
    """There is no plan left that nobody has tried."""
    _idle: int = field(default=0, init=False)

    def go(self, *, trials: float, seconds: float = inf) -> None:
        """Try up to `trials` plans that nobody has tried; a trial that has begun is ended.

        Raises: StudyError; MissingExtraError.
        """
        deadline = time.monotonic() + seconds
        while self.measured + self.refused < trials and time.monotonic() < deadline and not self.exhausted:
            self.book.bury()
            self._plant()
            if self._idle >= self.stale:
                self._draw_unseen()
            self._once()

    def _once(self) -> None:
        from optuna.exceptions import UpdateFinishedTrialError

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # heartbeats and enqueued trials are marked as experimental
            try:
                self.book.study.optimize(self._try, n_trials=1, catch=(TakenError,))
            except (UpdateFinishedTrialError, ValueError) as exc:
                # it was so slow that the others took it for dead; what it measured lies in the cache
                if isinstance(exc, ValueError) and "Cannot tell" not in str(exc):
                    raise

    def _try(self, trial: "Trial") -> tuple[float, float]:
        """One trial. Raises: optuna.TrialPruned for a plan that cannot be built; TakenError if another one is at it."""
        from optuna import TrialPruned

        self._idle += 1
        plan = self._plan(trial)
        try:
            known = self.book.claim(trial, str(plan))
        except RefusedError as exc:
            raise TrialPruned(str(exc)) from exc
        if known is not None:
            return known.sqnr_db, known.cost
        self._idle = 0
        try:
            found = self._find_out(plan)
        except BadModelError as exc:
            self.refused += 1
            self.book.refuse(trial, exc.problem)
            raise TrialPruned(exc.problem) from exc
        self.book.keep(trial, found)
        self.measured += 1
        self.tell(found)
        return found.sqnr_db, found.cost

    def _find_out(self, plan: Plan) -> Tried:
        """Build and measure; the same file made by another plan is not measured again."""
        candidate = self.workshop.build(plan)
        same = self.book.same_file(candidate.variant.sha256)
        if same is None:
            return self.workshop.measure(plan, candidate)
        return self.workshop.retold(plan, candidate, same)

    def _plan(self, trial: "Trial") -> Plan:
        """Let the sampler choose, within what was asked for."""
        asked = self.book.wanted(trial)
        if asked is None:
            return self.space.draw(trial)
        plan = parse_plan(asked)
        if self.space.settings(plan) is not None:
            self.space.draw(trial)  # so that the sampler learns from it; the queue says what comes out
        return plan

    def _plant(self) -> None:
        """Ask for the plans to begin with, and again for those whose worker died."""
        known = self.book.known()
        for plan in self.seeds:
            if str(plan) not in known:
                self._ask(plan)

    def _draw_unseen(self) -> None:
        known = self.book.known()
        unseen = [plan for plan in self.space.plans() if str(plan) not in known]
        self.exhausted = not unseen
        self._idle = 0
        if unseen:
            self._ask(self.chance.choice(unseen))

    def _ask(self, plan: Plan) -> None:
        self.book.enqueue(str(plan), dict(self.space.settings(plan) or {}))
