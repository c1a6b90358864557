"""Which of the two loops decides, which one waits, and under which epoch: pure bookkeeping of the switch.

Places 0 and 1 hold a model each. One is active; the other is empty, staged (new, waiting for its turn) or spare (old,
warm, ready to take over again).
"""

from dataclasses import dataclass, field

from edge.manifest import InputContract
from edge_agent.link import LoopReady


@dataclass(slots=True)
class Place:
    """One loaded (or loading) model."""

    bundle: str
    version: int
    """0 until the loop has said it, where nobody else knows."""
    ready: bool = False
    """Its loop is loaded, checked and warm."""
    contract: InputContract | None = None
    """Known from the first time on that its loop was ready."""
    labels: tuple[str, ...] = ()
    small: bool = False
    """It was asked for the smallest variant of its bundle."""
    has_smaller: bool = False

    def learn(self, said: LoopReady) -> None:
        """Note what the loop says of its model."""
        self.ready, self.contract, self.labels = True, said.contract, said.labels
        self.version = self.version or said.version
        self.has_smaller = said.has_smaller


@dataclass(slots=True)
class Switchboard:
    """The state of the switch."""

    epoch: int = 0
    active: int | None = None
    staged: int | None = None
    places: list[Place | None] = field(default_factory=lambda: [None, None])

    @property
    def other(self) -> int:
        """The place that does not decide."""
        return 0 if self.active is None else 1 - self.active

    @property
    def deciding(self) -> Place | None:
        """The model that decides."""
        return None if self.active is None else self.places[self.active]

    def begin(self, bundle: str, version: int) -> int:
        """Start with this model, before anything runs; returns its place."""
        self.places[0], self.active, self.epoch = Place(bundle, version), 0, 1
        return 0

    def stage(self, bundle: str, version: int, *, small: bool = False) -> int:
        """Put a new model in the place that does not decide; what was there is gone."""
        self.staged = self.other
        self.places[self.staged] = Place(bundle, version, small=small)
        return self.staged

    def switch(self) -> bool:
        """Let the staged model decide, under a new epoch; False when there is none that is ready."""
        place = None if self.staged is None else self.places[self.staged]
        if place is None or not place.ready:
            return False
        self.active, self.staged = self.staged, None
        self.epoch += 1
        return True

    def revert(self) -> int | None:
        """Give up the newest model: the staged one, else the active one if another is there to take over.

        Returns its place, now empty; None when nothing is loaded that could be given up for another. The epoch grows
        if another model decides now.
        """
        if self.staged is not None:
            given_up, self.staged = self.staged, None
        elif self.active is not None and self.places[self.other] is not None:
            given_up, self.active = self.active, self.other
            self.epoch += 1
        else:
            return None
        self.places[given_up] = None
        return given_up

    def stop(self) -> int | None:
        """Let no model decide; returns the place of the one that did."""
        given_up, self.active = self.active, None
        if given_up is not None:
            self.places[given_up] = None
            self.epoch += 1
        return given_up

    def retire(self) -> int | None:
        """Forget the model that does not decide; returns its place, None when there was none."""
        if self.places[self.other] is None:
            return None
        self.places[self.other], self.staged = None, None
        return self.other
