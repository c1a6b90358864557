"""How a rollout proceeds and what stops it: every number a person may choose, with its unit and its default."""

from typing import Annotated

import msgspec

Seconds = Annotated[float, msgspec.Meta(ge=0, lt=1e9)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Positive = Annotated[float, msgspec.Meta(gt=0, lt=1e9)]
Count = Annotated[int, msgspec.Meta(ge=0, lt=2**31)]


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Waves, waiting times, evidence and limits of one rollout."""

    waves: Annotated[tuple[Positive, ...], msgspec.Meta(min_length=1, max_length=20)] = (0.01, 0.1, 0.5, 1.0)
    """How much of the fleet has it after each wave: up to 1 a share (at least one device), above 1 a count."""
    soak_s: Seconds = 3600.0
    """Time between "the wave is committed" and its verdict. At least one cycle of whatever changes: light, shifts."""
    wave_timeout_s: Seconds = 86400.0
    """A wave without a verdict after this time pauses; it never goes on silently."""
    rate_per_minute: Annotated[int, msgspec.Meta(ge=1, lt=2**31)] = 600
    """Devices ordered in one minute at most; a rollback ignores it."""

    min_committed: Share = 0.95
    """Share of the wave's reachable devices that run the new version and have committed it."""
    min_reached: Share = 0.5
    """Share of all the wave's devices that must have committed, so that a wave of offline devices proves nothing."""
    max_failed: Share = 0.05
    min_failures: Annotated[int, msgspec.Meta(ge=1, lt=2**31)] = 2
    """Failures below this count stop nothing, unless the whole wave failed."""

    min_scores: Count = 500
    """Scores a device must have sent before it counts as evidence for drift and label mix."""
    min_decisions: Count = 1000
    """Decisions each side must have sent before their latencies are compared."""
    max_latency_ratio: Positive = 1.2
    """95th percentile of the wave over that of the devices still on the old version."""
    latency_slack_ms: Annotated[float, msgspec.Meta(ge=0, lt=1e6)] = 1.0
    """A difference below this stops nothing: a ratio of two tiny times is noise."""
    max_score_drift: Positive = 0.25
    """How much more the new version's scores may leave their own baseline than the old one's do (PSI)."""
    max_label_shift: Positive = 0.5
    """How much more the wave's label mix may differ from the control's than the control devices differ (PSI)."""
    max_unsure_rise: Share = 0.1
    """Rise of the share of unsure decisions worth saying; it stops nothing."""

    def __post_init__(self) -> None:
        """Refuse a plan that could never pass; msgspec turns this into its own error when decoding."""
        if self.wave_timeout_s <= self.soak_s:
            raise ValueError(f"wave_timeout_s ({self.wave_timeout_s:g}) must be above soak_s ({self.soak_s:g})")


def wave_sizes(plan: Plan, fleet_size: int) -> tuple[int, ...]:
    """Cumulative number of devices after each wave, growing; waves that would add nobody are left out.

    The last wave is what the plan says, not always everybody: a plan may end at half of the fleet.
    """
    sizes: list[int] = []
    for wave in plan.waves:
        # the smallest float error must not lose a device: 0.29 * 100 is 28.999999999999996
        wanted = int(wave * fleet_size + 1e-9) if wave <= 1 else int(wave)
        size = min(max(1, wanted), fleet_size)
        if size > (sizes[-1] if sizes else 0):
            sizes.append(size)
    return tuple(sizes)
