"""The gates of one wave: what was seen -> pass, wait or stop, each with its figure, its limit and a sentence.

Lack of evidence is never a pass: it is a wait, and a wave that waits too long pauses for a person. A quality gate
answers only when the soak is over, so that a whole cycle of light lies in the window, the same one for both groups.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import msgspec

from fleet.plan import Plan
from fleet.rollout_state import Gate, RolloutState, Tally, Verdict, Wave
from fleet.views import DeviceView, FleetView, Observation

COMMITTED = frozenset({"COMMITTED", "IDLE"})
FAILED = frozenset({"FAILED", "ROLLED_BACK"})


@dataclass(frozen=True, slots=True)
class Evidence:
    """What `judge` looks at. `references`: by gate, the highest control figure that earlier waves saw."""

    state: RolloutState
    wave: Wave
    tally: Tally
    view: FleetView
    references: dict[str, float]
    now_s: float

    @property
    def plan(self) -> Plan:
        """The plan of the rollout."""
        return self.state.plan

    @property
    def soaked(self) -> bool:
        """Whether the window of the quality gates is long enough."""
        return self.wave.settled_s is not None and self.now_s - self.wave.settled_s >= self.plan.soak_s


def judge(seen: Evidence) -> Wave:
    """Answer every gate; returns the wave with its counts, gates and, when it has just settled, the time of that."""
    from fleet import quality  # numpy is loaded by the service when a wave runs, not by every command

    gates = [committed_share(seen), failures(seen)]
    settled_s = seen.wave.settled_s
    if settled_s is None and gates[0].verdict == "pass":
        settled_s = seen.now_s
    wave = msgspec.structs.replace(seen.wave, tally=seen.tally, settled_s=settled_s)
    seen = replace(seen, wave=wave)
    answers = quality.answers(seen)
    return msgspec.structs.replace(
        wave,
        gates=(*gates, soak(seen), *(answer.gate for answer in answers)),
        references={a.gate.name: a.reference for a in answers if a.reference is not None},
    )


def stopped(gates: Collection[Gate]) -> Gate | None:
    """The first gate that says stop, or None."""
    return next((gate for gate in gates if gate.verdict == "stop"), None)


# --- who has it --------------------------------------------------------------------------------


def tally_of(devices: Collection[str], state: RolloutState, view: FleetView) -> Tally:
    """Count where `devices` are."""
    known = {device.id: device for device in view.devices}
    places = [_place(known.get(device), device, state) for device in devices]
    return Tally(
        size=len(places), committed=places.count("committed"), failed=places.count("failed"),
        working=places.count("working"), offline=places.count("offline"),
    )  # fmt: skip


def _place(device: DeviceView | None, name: str, state: RolloutState) -> str:
    if device is None:
        return "offline"
    report = device.report(state.model)
    if report.version == state.version and report.state in COMMITTED:
        return "committed"
    # the failure of an earlier attempt is not this one's: only what was reported after our order counts
    answered = name in state.ordered and device.changed_ns.get(state.model, 0) >= state.ordered[name] * 1e9
    if answered and report.attempted == state.version and report.state in FAILED:
        return "failed"
    return "working" if device.online else "offline"


def committed_share(seen: Evidence) -> Gate:
    """Enough of the wave runs the new version for good; offline devices are pending, not failed."""
    tally, plan = seen.tally, seen.plan
    reachable = tally.size - tally.offline
    share = tally.committed / reachable if reachable else None
    text = f"{tally.committed} of {reachable} reachable devices committed"
    text += f", {tally.offline} offline and pending" if tally.offline else ""
    enough = tally.committed >= plan.min_reached * tally.size
    if share is not None and share >= plan.min_committed and not enough:
        text += f"; at least {plan.min_reached:.0%} of the wave's {tally.size} must be reached"
    passed = share is not None and share >= plan.min_committed and enough
    return Gate(
        name="committed_share", verdict="pass" if passed else "wait", value=share, limit=plan.min_committed,
        n=reachable, text=text,
    )  # fmt: skip


def failures(seen: Evidence) -> Gate:
    """Devices that refused or rolled back, over all that were ordered so far: a late crash counts as well."""
    plan = seen.plan
    total = tally_of(seen.state.ordered, seen.state, seen.view)
    decided = total.committed + total.failed
    share = total.failed / decided if decided else None
    many = total.failed >= plan.min_failures or 0 < total.failed == total.size
    stop = share is not None and share > plan.max_failed and many
    reasons = _reasons(seen) if total.failed else ""
    return Gate(
        name="failures", verdict="stop" if stop else "pass", value=share, limit=plan.max_failed, n=decided,
        text=f"{total.failed} of {decided} devices that have finished failed{reasons}",
    )  # fmt: skip


def _reasons(seen: Evidence) -> str:
    """What the failed devices gave as their reason, the most frequent first."""
    said: dict[str, int] = {}
    for device in seen.view.devices:
        if device.id in seen.state.ordered and _place(device, device.id, seen.state) == "failed":
            reason = device.report(seen.state.model).reason or "no reason given"
            said[reason] = said.get(reason, 0) + 1
    first = sorted(said, key=lambda reason: -said[reason])[:2]
    return ": " + "; ".join(f"{said[reason]}x {reason[:200]}" for reason in first)


def soak(seen: Evidence) -> Gate:
    """Time since the wave settled."""
    since = seen.wave.settled_s
    waited = 0.0 if since is None else max(0.0, seen.now_s - since)
    text = f"watched for {waited:.0f} s of {seen.plan.soak_s:g} s" if since is not None else "begins once committed"
    return Gate(name="soak", verdict="pass" if seen.soaked else "wait", value=waited, limit=seen.plan.soak_s, text=text)


# --- who is compared with whom -----------------------------------------------------------------


def controls(seen: Evidence) -> list[DeviceView]:
    """Devices of the rollout that are online, were not ordered anything, and run the version most of it came from."""
    state, scope = seen.state, set(seen.state.scope)
    return [
        device
        for device in seen.view.devices
        if device.online
        and device.id in scope
        and device.id not in state.ordered
        and state.control_version
        and device.report(state.model).version == state.control_version
    ]


def holds(observation: Observation | None, at_least: int) -> bool:
    """Whether a device sent enough scores to be evidence."""
    return observation is not None and sum(observation.scores) >= max(1, at_least)


def decide(*, soaked: bool, above: bool, sure: bool, seeing: bool = True) -> Verdict:
    """Pass below the limit, stop when surely above it; in doubt, before the soak is over, or half blind: wait.

    `seeing`: whether there is enough evidence to notice a difference as large as the limit.
    """
    if not soaked or not seeing:
        return "wait"
    if not above:
        return "pass"
    return "stop" if sure else "wait"
