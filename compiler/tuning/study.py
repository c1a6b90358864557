"""One study, whoever else works on it: what was tried, and who measures what now. Wraps Optuna's trials.

A plan is measured by one worker only. Before it starts, a worker publishes the plan and then reads all others: it may
go on only if nobody else has published the same plan and not ended. So of two that publish at once at least one sees
the other; the one with the higher trial number gives way.
"""

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

import msgspec

from compiler.tuning.bound import Bound, hold_same
from compiler.tuning.tried import Tried
from edge.errors import StudyError

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

LEASE_S = 900
"""A claim in a journal that is older counts no more: only databases know signs of life."""
PATIENCE_S, POLL_S = 30.0, 0.05
"""How long to wait for another worker to say whether it measures a plan; it takes one write, unless it just died."""
STARTUP = 8
"""Trials before the sampler begins to learn: about as many as there are plans of an effort to begin with."""
_BOUND, _LAYERS = "bound", "layers"
_PLAN, _SINCE, _CLAIMED, _FOUND, _REFUSED = "plan", "since", "claimed", "found", "refused"


class TakenError(Exception):
    """Another worker measures this plan now."""


class RefusedError(Exception):
    """A worker found that this plan cannot be built."""


@dataclass(frozen=True, slots=True)
class Book:
    """The trials of one study."""

    study: "Study"
    bound: Bound
    lease_s: float
    """How long a claim counts; infinite where signs of life tell who is dead."""

    @property
    def name(self) -> str:
        """Of the study."""
        return str(self.study.study_name)

    def tried(self) -> tuple[Tried, ...]:
        """Every plan that was measured, once, in the order of the first trials."""
        found: dict[str, Tried] = {}
        for one in map(_found, self._trials()):
            if one is not None:
                found.setdefault(one.plan, one)
        return tuple(found.values())

    def known(self) -> frozenset[str]:
        """Plans that need no trial any more: measured, impossible, being measured, or waiting for a worker."""
        words = {str(one.user_attrs.get(_PLAN, "")) for one in self._trials() if self._counts(one)}
        return frozenset(words - {""})

    def count(self) -> int:
        """How many trials there were, of all workers."""
        return len(self._trials())

    def steer(self, seed: int) -> None:
        """Let TPE choose from now on, away from what other workers measure. Source: Optuna's TPESampler."""
        from optuna.samplers import TPESampler

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # constant_liar is marked as experimental
            self.study.sampler = TPESampler(seed=seed, constant_liar=True, n_startup_trials=STARTUP)

    def layers(self) -> tuple[str, ...] | None:
        """The costliest layers first, as the first worker measured them; None: nobody has yet."""
        kept = self.study.user_attrs.get(_LAYERS)
        return None if kept is None else tuple(kept)

    def keep_layers(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Tell all workers in which order layers stay float; returns what counts."""
        self.study.set_user_attr(_LAYERS, list(names))
        return self.layers() or names

    def enqueue(self, plan: str, settings: dict[str, Any]) -> None:
        """Ask for one plan; `settings` as a sampler would have chosen it, empty for one that it never chooses."""
        self.study.enqueue_trial(settings, user_attrs={_PLAN: plan})

    def wanted(self, trial: "Trial") -> str | None:
        """Return the plan that a trial was asked to be; None: the sampler chooses."""
        asked = trial.user_attrs.get(_PLAN)
        return None if asked is None else str(asked)

    def claim(self, trial: "Trial", plan: str) -> Tried | None:
        """Make a plan this trial's; None: measure it now.

        Returns: what another trial found out about it.
        Raises: TakenError if another worker measures it; RefusedError if another worker could not build it.
        """
        hold_same(self.name, _bound(self.study), self.bound)
        trial.set_user_attr(_SINCE, time.time())
        trial.set_user_attr(_PLAN, plan)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            others = [one for one in self._trials() if one.number != trial.number and one.user_attrs.get(_PLAN) == plan]
            done = _outcome(others)
            if done is not None:
                return done
            rivals = [one for one in others if self._working(one)]
            if not rivals:
                trial.set_user_attr(_CLAIMED, True)
                return None
            settled = any(one.number < trial.number or _CLAIMED in one.user_attrs for one in rivals)
            if settled or time.monotonic() > deadline:
                raise TakenError(plan)
            time.sleep(POLL_S)

    def keep(self, trial: "Trial", found: Tried) -> None:
        """Write down what a trial found out."""
        trial.set_user_attr(_FOUND, msgspec.to_builtins(found))

    def refuse(self, trial: "Trial", reason: str) -> None:
        """Write down that a plan cannot be built: nobody tries it again."""
        trial.set_user_attr(_REFUSED, reason)

    def same_file(self, sha256: str) -> Tried | None:
        """What was found out about the very same file, made by another plan."""
        return next((one for one in self.tried() if one.sha256 == sha256), None)

    def bury(self) -> None:
        """Fail the trials of workers that were killed while they wrote to a journal; databases do it by themselves."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        for one in self._trials():
            if one.state == TrialState.RUNNING and self._is_old(one):
                try:
                    self.study.tell(one.number, state=TrialState.FAIL)
                except (UpdateFinishedTrialError, ValueError):  # another worker was quicker
                    continue

    def _trials(self) -> "list[FrozenTrial]":
        trials: list[FrozenTrial] = self.study.get_trials(deepcopy=False)
        return trials

    def _counts(self, one: "FrozenTrial") -> bool:
        from optuna.trial import TrialState

        ended = one.state == TrialState.COMPLETE or _REFUSED in one.user_attrs
        return ended or one.state == TrialState.WAITING or self._working(one)

    def _working(self, one: "FrozenTrial") -> bool:
        from optuna.trial import TrialState

        return one.state == TrialState.RUNNING and _SINCE in one.user_attrs and not self._is_old(one)

    def _is_old(self, one: "FrozenTrial") -> bool:
        return time.time() - float(one.user_attrs.get(_SINCE, time.time())) > self.lease_s


def join(storage: "BaseStorage", name: str, bound: Bound) -> Book:
    """Make the study, or join it.

    Raises: StudyError if it was made for something else.
    """
    import optuna

    study = optuna.create_study(
        storage=storage, study_name=name, directions=["maximize", "minimize"], load_if_exists=True
    )
    if _BOUND not in study.user_attrs:
        study.set_user_attr(_BOUND, msgspec.json.encode(bound).decode())
    hold_same(name, _bound(study), bound)
    return Book(study, bound, _lease_s(storage))


def read(storage: "BaseStorage", name: str) -> Book:
    """Open a study that is there.

    Raises: StudyError if it is not.
    """
    import optuna

    names = sorted(optuna.get_all_study_names(storage))
    if name not in names:
        there = f"there are {', '.join(map(repr, names))}" if names else "there is none"
        raise StudyError(f"no study {name!r} lies there; {there}", remedy="run edge tune first, or give --study-name")
    study = optuna.load_study(storage=storage, study_name=name)
    return Book(study, _bound(study), _lease_s(storage))


def _lease_s(storage: "BaseStorage") -> float:
    from optuna.storages import JournalStorage

    return LEASE_S if isinstance(storage, JournalStorage) else inf


def _bound(study: "Study") -> Bound:
    """Read what a study was made for.

    Raises: StudyError if somebody else made it.
    """
    try:
        return msgspec.json.decode(study.user_attrs.get(_BOUND, ""), type=Bound)
    except msgspec.MsgspecError as exc:
        raise StudyError(
            f"{study.study_name!r} is no study of this release: {exc}",
            remedy="begin another one with --study-name, or in another place",
        ) from exc


def _outcome(trials: "Sequence[FrozenTrial]") -> Tried | None:
    """What trials of one plan found out; raises RefusedError if it cannot be built."""
    for one in trials:
        if _REFUSED in one.user_attrs:
            raise RefusedError(str(one.user_attrs[_REFUSED]))
    return next((found for found in map(_found, trials) if found is not None), None)


def _found(one: "FrozenTrial") -> Tried | None:
    """What a finished trial found out."""
    from optuna.trial import TrialState

    kept = one.user_attrs.get(_FOUND)
    return msgspec.convert(kept, Tried) if kept is not None and one.state == TrialState.COMPLETE else None
