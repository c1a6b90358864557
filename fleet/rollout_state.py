"""What a rollout remembers: JSON-able and complete, so that a restarted service goes on from it."""

from typing import Literal, get_args

import msgspec

from fleet.plan import Plan

State = Literal[
    "DRAFT", "APPROVED", "CANARY", "WAVE", "DONE", "PAUSED", "ABORTED", "ROLLING_BACK", "ROLLED_BACK",
]  # fmt: skip
STATES: tuple[str, ...] = get_args(State)
FINAL: frozenset[str] = frozenset({"DONE", "ABORTED", "ROLLED_BACK"})
RUNNING: frozenset[str] = frozenset({"CANARY", "WAVE"})
Verdict = Literal["pass", "wait", "stop"]
Ending = Literal["ROLLED_BACK", "ABORTED"]


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """One question that a wave must answer, and its last answer."""

    name: str
    verdict: Verdict
    limit: float
    value: float | None = None
    """The figure compared with `limit`; None while there is not enough evidence to compute it."""
    n: int = 0
    """Evidence behind `value`: devices, decisions or scores, as `text` says."""
    soft: bool = False
    """A soft gate is said, never obeyed: its verdict is always "pass"."""
    text: str
    """One sentence for people, with the figures in it."""


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """Where the devices of one wave are. They add up to `size`."""

    size: int = 0
    committed: int = 0
    failed: int = 0
    working: int = 0
    """Online and on their way, or not ordered yet."""
    offline: int = 0
    """Pending, not failed: the order waits for them."""


class Wave(msgspec.Struct, frozen=True, kw_only=True):
    """One wave, from its first order to its verdict."""

    number: int
    """0 is the canary."""
    devices: tuple[str, ...]
    started_s: float
    settled_s: float | None = None
    """When enough of it had committed; soaking and the window of the quality gates begin here."""
    ended_s: float | None = None
    tally: Tally = Tally()
    gates: tuple[Gate, ...] = ()
    references: dict[str, float] = {}
    """By gate: what the old version showed during this wave, so that a wave without a control group can use it."""


class RolloutState(msgspec.Struct, frozen=True, kw_only=True):
    """One rollout. All times are Unix seconds of the service's clock."""

    id: str
    model: str
    version: int
    target: str
    plan: Plan
    state: State = "DRAFT"
    scope: tuple[str, ...] = ()
    """Devices it is for, in the order in which waves take them; settled when the canary starts."""
    control_version: int = 0
    """The version most of the scope ran at the start; devices still on it are the control group. 0: there is none."""
    previous: dict[str, int] = {}
    """By ordered device: the version to go back to; 0 when it had none."""
    ordered: dict[str, float] = {}
    """By device: when it was ordered the new version."""
    waves: tuple[Wave, ...] = ()
    """History; the last one is the one at work."""
    paused_from: State | None = None
    ending: Ending | None = None
    """What it becomes when the rollback is complete."""
    reason: str = ""
    """Why it is paused, going back or over, in one sentence."""
    created_s: float = 0.0
    changed_s: float = 0.0
    """When `state` last changed."""

    @property
    def active(self) -> bool:
        """Whether it may still order anything, and so excludes other rollouts of its model."""
        return self.state not in FINAL and self.state != "DRAFT"
