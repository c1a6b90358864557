"""Model -> study: open, split, measure what plans cost, join the study, search. The main path of `edge tune`."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from pathlib import Path
from random import Random

from compiler.cache import code_digest, key_of
from compiler.ground import Ground, lay_ground
from compiler.load.state import write_states
from compiler.opening import Request
from compiler.packing import Order, tool_versions
from compiler.prediction import Predictor, no_prediction
from compiler.search import Shelf
from compiler.stage import Stage
from compiler.tuning.bound import Bound
from compiler.tuning.storage import GRACE_S, open_storage, shown, telling
from compiler.tuning.study import Book, join
from compiler.tuning.terrain import Terrain, survey
from compiler.tuning.tried import Tried
from compiler.tuning.worker import Worker
from edge.errors import BadArgumentError

logger = logging.getLogger("edgewright.compiler")
TRIALS = 40
"""Plans that one `edge tune` tries unless it is told otherwise."""


@dataclass(frozen=True, slots=True)
class Quest:
    """Where to search, and for how long."""

    url: str
    """Of the storage, as Optuna takes it, or journal:///FILE."""
    name: str
    """Of the study in it."""
    trials: int | None = None
    minutes: float | None = None
    """None both: TRIALS; else whichever ends first."""
    grace_s: int = GRACE_S
    """A worker that gave no sign of life for so long is dead, and its plan is free again."""

    def __post_init__(self) -> None:
        """Raise BadArgumentError for what is no number of trials, or no time."""
        if self.trials is not None and self.trials < 1:
            raise BadArgumentError(f"{self.trials} is no number of trials", remedy="write for instance --trials 40")
        if self.minutes is not None and not 0 < self.minutes < inf:
            raise BadArgumentError(f"{self.minutes} minutes is no time", remedy="write for instance --minutes 30")

    @property
    def most(self) -> int | None:
        """Trials of this worker; None: as many as there is time for."""
        return TRIALS if self.trials is None and self.minutes is None else self.trials


@dataclass(frozen=True, slots=True, eq=False)
class Tuned:
    """What a study knows, and what this worker added to it."""

    quest: Quest
    where: str
    """The storage, without its password."""
    bound: Bound
    tried: tuple[Tried, ...]
    """Of all workers."""
    seeds: frozenset[str]
    """Plans that --effort normal would have tried, too."""
    mine: frozenset[str]
    """Plans that this worker tried."""
    refused: int
    """Plans of this worker that could not be built."""
    exhausted: bool
    """Every plan there is has been tried."""
    seconds: float

    def is_normal(self, one: Tried) -> bool:
        """Whether --effort normal makes this very file, if by another plan."""
        return one.sha256 in {other.sha256 for other in self.tried if other.plan in self.seeds}


def tune_model(
    request: Request,
    quest: Quest,
    *,
    stage: Stage,
    warn: Callable[[str], None],
    predict: Predictor = no_prediction,
    facts: str = "",
) -> Tuned:
    """Search, alone or beside other workers; only the calibrate and select parts are used.

    Args:
        request: what to tune, with what data, for what; its budget is not used.
        quest: where the study lies.
        stage: opens a progress bar.
        warn: is told at once what looks wrong but is no error.
        predict: says how long a compiled file takes on the target's core.
        facts: identity of what `predict` knows beyond the release: a board's calibration.

    Raises: the EdgeError family, among it StudyError for a study of something else, and MissingExtraError.
    """
    started = time.monotonic()
    storage = open_storage(quest.url, grace_s=quest.grace_s)
    ground = lay_ground(request, stage=stage, warn=warn)
    with stage("building what others are held against", None):
        terrain = survey(ground, _shelf(ground, request), predict)
    bound = bound_of(terrain, request, facts)
    mine: set[str] = set()
    with telling(quest.url):
        book = join(storage, quest.name, bound)
        with stage("ranking layers", None):
            space = terrain.space(_layers(book, terrain))
        seed = int(key_of(bound, book.count())[:8], 16)  # alone and from the beginning, a search goes the same way
        book.steer(seed)
        with stage("tuning", quest.most) as step:

            def heard(one: Tried) -> None:
                mine.add(one.plan)
                logger.info("%.1f dB, %.4g %s: %s", one.sqnr_db, one.cost, bound.unit, one.plan)
                step()

            worker = Worker(book, terrain, space, terrain.seeds(), Random(seed), heard)
            worker.go(trials=quest.most or inf, seconds=inf if quest.minutes is None else 60 * quest.minutes)
        return Tuned(
            quest=quest,
            where=shown(quest.url),
            bound=bound,
            tried=book.tried(),
            seeds=frozenset(str(plan) for plan in terrain.seeds()),
            mine=frozenset(mine),
            refused=worker.refused,
            exhausted=worker.exhausted,
            seconds=time.monotonic() - started,
        )


def bound_of(terrain: Terrain, request: Request, facts: str) -> Bound:
    """Say what a study of this model, these samples and this target is made for."""
    ground, select = terrain.ground, terrain.ground.select
    return Bound(
        model=select.model.sha256,
        data=select.samples.sha256,
        input=select.contract,
        head=ground.resolved.head,
        labels=select.samples.classes if select.task in {"classify", "detect"} else (),
        states=write_states(request.states),
        label_column=request.label_column,
        task=select.task,
        metric=ground.yardstick.metric.name,
        target=ground.target.name,
        facts=key_of(ground.target, facts),
        runtime=terrain.runtime,
        unit=terrain.yard.unit,
        code=code_digest(),
        tools=tool_versions(),
    )


def name_of(model: str, order: Order) -> str:
    """Name a study by the model and the target, unless the user names it."""
    return f"{order.name or Path(model).stem}@{order.target}"


def _shelf(ground: Ground, request: Request) -> Shelf:
    calibrated = ground.calibrate.usual().samples.digests
    return Shelf(ground.select, ground.calibration, calibrated, request.scope.cache)


def _layers(book: Book, terrain: Terrain) -> tuple[str, ...]:
    """Take the order that the first worker measured; be the first one if there is none."""
    there = book.layers()
    return book.keep_layers(terrain.rank_layers()) if there is None else there
