"""The rollout machine, pure: (state, view, now) -> (state, orders). MAIN PATH: `step`, read it first.

DRAFT -> APPROVED -> CANARY -> WAVE (as often as the plan says) -> DONE, with PAUSED, ABORTED, ROLLING_BACK and
ROLLED_BACK. Nothing here reads a clock, a database or a socket, so every path is a test.
"""

from collections import Counter
from collections.abc import Collection
from hashlib import sha256

import msgspec

from edge.errors import FleetError
from fleet.gates import Evidence, judge, stopped, tally_of
from fleet.plan import Plan, wave_sizes
from fleet.rollout_state import FINAL, RUNNING, Ending, RolloutState, State, Wave
from fleet.views import DeviceView, FleetView, Order

Orders = tuple[Order, ...]
UNDER_WAY = frozenset(
    {"OFFERED", "PRECHECK", "DOWNLOADING", "VERIFYING", "STAGED", "SELFTEST", "SWITCHED", "PROBATION"}
)
"""States in which a device may still switch to the version it attempts."""


def step(state: RolloutState, view: FleetView, now_s: float) -> tuple[RolloutState, Orders]:
    """Move a rollout on by what is seen now; call it about once a second. `now_s`: Unix seconds."""
    match state.state:
        case "APPROVED":
            return _begin(state, view, now_s)
        case "ROLLING_BACK":
            return _watch_rollback(state, view, now_s), ()
        case "CANARY" | "WAVE":
            return _advance(state, view, now_s)
        case _:
            return state, ()


def _advance(state: RolloutState, view: FleetView, now_s: float) -> tuple[RolloutState, Orders]:
    """Order what the wave may have, ask its gates, and do what they say: go back, go on, give up waiting, or wait."""
    state, orders = _order(state, view, now_s)
    wave = _look(state, view, now_s)
    state = msgspec.structs.replace(state, waves=(*state.waves[:-1], wave))
    culprit = stopped(wave.gates)
    if culprit is not None:
        return _roll_back(state, f"{culprit.name}: {culprit.text}", "ROLLED_BACK", now_s)
    if all(gate.verdict == "pass" for gate in wave.gates):
        return _next_wave(state, view, now_s)
    if now_s - wave.started_s > state.plan.wave_timeout_s:
        return _pause(state, _timeout_reason(wave, state.plan), now_s), orders
    return state, orders


# --- what people do ----------------------------------------------------------------------------


def draft(
    rollout_id: str,
    model: str,
    version: int,
    *,
    target: str,
    plan: Plan | None = None,
    devices: Collection[str] = (),
    now_s: float,
) -> RolloutState:
    """Describe a rollout; nothing moves before `start`. Without `devices`: every device of the target at the start."""
    return RolloutState(
        id=rollout_id, model=model, version=version, target=target, plan=plan or Plan(),
        scope=tuple(sorted(set(devices))), created_s=now_s, changed_s=now_s,
    )  # fmt: skip


def start(state: RolloutState, now_s: float, *, others: Collection[RolloutState] = ()) -> tuple[RolloutState, Orders]:
    """Approve a draft. Raises `FleetError` when another rollout of the same model is under way."""
    for other in others:
        if other.id != state.id and other.model == state.model and other.active:
            problem = f"rollout {other.id} of {other.model} {other.version} is {other.state}"
            raise FleetError(problem, remedy=f"wait for it, or: edge fleet rollout abort {other.id}")
    return (_enter(state, "APPROVED", "", now_s) if state.state == "DRAFT" else state), ()


def pause(state: RolloutState, now_s: float, *, reason: str = "paused by a person") -> tuple[RolloutState, Orders]:
    """Order nothing more until `resume`; devices already ordered go on. A rollback cannot be paused."""
    if state.state not in (*RUNNING, "APPROVED"):
        return state, ()
    return _pause(state, reason, now_s), ()


def resume(state: RolloutState, now_s: float) -> tuple[RolloutState, Orders]:
    """Go on where it was paused; the wave gets its whole time again."""
    if state.state != "PAUSED" or state.paused_from is None:
        return state, ()
    waves = state.waves
    if waves:
        # what was seen while paused is no evidence of this wave's window: the soak begins again as well
        waves = (*waves[:-1], msgspec.structs.replace(waves[-1], started_s=now_s, settled_s=None))
    resumed = msgspec.structs.replace(state, waves=waves, paused_from=None)
    return _enter(resumed, state.paused_from, "", now_s), ()


def abort(state: RolloutState, now_s: float, *, reason: str = "aborted by a person") -> tuple[RolloutState, Orders]:
    """End it: every device that was ordered the new version is ordered its previous one, then it is ABORTED."""
    if state.state in FINAL:
        return state, ()
    if state.state == "ROLLING_BACK":
        return msgspec.structs.replace(state, ending="ABORTED"), ()
    return _roll_back(state, reason, "ABORTED", now_s)


def wishes(state: RolloutState) -> Orders:
    """Everything this rollout wants at this moment: what a restarted service publishes again."""
    if state.state in ("ROLLING_BACK", "ROLLED_BACK", "ABORTED"):
        return tuple(Order(device, state.model, version) for device, version in state.previous.items())
    return tuple(Order(device, state.model, state.version) for device in state.ordered)


# --- beginning and waves -----------------------------------------------------------------------


def _begin(state: RolloutState, view: FleetView, now_s: float) -> tuple[RolloutState, Orders]:
    """Settle who the rollout is for, and start the canary; wait while no device of the target has spoken."""
    known = {device.id: device for device in view.devices}
    asked = state.scope or tuple(d.id for d in view.devices if d.target == state.target)
    if not asked:
        return msgspec.structs.replace(state, reason=f"no device of target {state.target} has reported yet"), ()
    fresh = [d for d in asked if d not in known or known[d].report(state.model).version != state.version]
    if not fresh:
        return _enter(state, "DONE", f"all {len(asked)} devices run version {state.version} already", now_s), ()
    versions = Counter(known[d].report(state.model).version for d in fresh if d in known)
    versions.pop(0, None)
    order = sorted(fresh, key=lambda device: (not (device in known and known[device].online), _lot(state.id, device)))
    canary = wave_sizes(state.plan, len(order))[0]
    # only the canary prefers devices that are there: a fleet's later waves must not put the hard cases last
    scope = (*order[:canary], *sorted(order[canary:], key=lambda device: _lot(state.id, device)))
    begun = msgspec.structs.replace(
        state, scope=scope, control_version=max(versions, key=lambda v: (versions[v], v), default=0)
    )
    return _start_wave(begun, 0, view, now_s)


def _lot(rollout_id: str, device: str) -> bytes:
    """The device's place in this rollout: the same on every machine, another in every rollout."""
    return sha256(f"{rollout_id}/{device}".encode()).digest()


def _start_wave(state: RolloutState, number: int, view: FleetView, now_s: float) -> tuple[RolloutState, Orders]:
    sizes = wave_sizes(state.plan, len(state.scope))
    first = sizes[number - 1] if number else 0
    wave = Wave(number=number, devices=state.scope[first : sizes[number]], started_s=now_s)
    entered = msgspec.structs.replace(state, waves=(*state.waves, wave))
    return _order(_enter(entered, "WAVE" if number else "CANARY", "", now_s), view, now_s)


def _order(state: RolloutState, view: FleetView, now_s: float) -> tuple[RolloutState, Orders]:
    """Order the wave's devices that have no order yet, as many as the rate limit has left for this minute."""
    waiting = [device for device in state.waves[-1].devices if device not in state.ordered]
    recent = sum(1 for at_s in state.ordered.values() if now_s - at_s < 60) if waiting else 0
    chosen = waiting[: max(0, state.plan.rate_per_minute - recent)]
    if not chosen:
        return state, ()
    known = {device.id: device for device in view.devices}
    before = {d: known[d].report(state.model).version if d in known else 0 for d in chosen}
    updated = msgspec.structs.replace(
        state, ordered={**state.ordered, **dict.fromkeys(chosen, now_s)}, previous={**state.previous, **before}
    )
    return updated, tuple(Order(device, state.model, state.version) for device in chosen)


def _look(state: RolloutState, view: FleetView, now_s: float) -> Wave:
    """The current wave with its counts and gates as they are now."""
    wave = state.waves[-1]
    references: dict[str, float] = {}
    for earlier in state.waves[:-1]:
        for gate, figure in earlier.references.items():
            references[gate] = max(figure, references.get(gate, figure))
    tally = tally_of(wave.devices, state, view)
    return judge(Evidence(state=state, wave=wave, tally=tally, view=view, references=references, now_s=now_s))


def _next_wave(state: RolloutState, view: FleetView, now_s: float) -> tuple[RolloutState, Orders]:
    wave = msgspec.structs.replace(state.waves[-1], ended_s=now_s)
    ended = msgspec.structs.replace(state, waves=(*state.waves[:-1], wave))
    number = wave.number + 1
    if number < len(wave_sizes(state.plan, len(state.scope))):
        return _start_wave(ended, number, view, now_s)
    return _enter(ended, "DONE", _done_reason(ended), now_s), ()


def _done_reason(state: RolloutState) -> str:
    left = sum(wave.tally.offline + wave.tally.working for wave in state.waves)
    done = sum(wave.tally.committed for wave in state.waves)
    text = f"{done} of {sum(w.tally.size for w in state.waves)} devices run version {state.version}"
    return f"{text}; {left} will follow when they are back" if left else text


# --- pausing and going back --------------------------------------------------------------------


def _pause(state: RolloutState, reason: str, now_s: float) -> RolloutState:
    return _enter(msgspec.structs.replace(state, paused_from=state.state), "PAUSED", reason, now_s)


def _timeout_reason(wave: Wave, plan: Plan) -> str:
    waiting = [gate for gate in wave.gates if gate.verdict == "wait"]
    return f"no verdict after {plan.wave_timeout_s:g} s; " + "; ".join(f"{g.name}: {g.text}" for g in waiting)


def _roll_back(state: RolloutState, reason: str, ending: Ending, now_s: float) -> tuple[RolloutState, Orders]:
    """Order the previous version for every device that was ordered the new one, all at once."""
    waves = state.waves
    if waves:
        waves = (*waves[:-1], msgspec.structs.replace(waves[-1], ended_s=now_s))
    changed = msgspec.structs.replace(state, waves=waves, ending=ending, paused_from=None)
    if not state.ordered:
        return _enter(changed, ending, reason, now_s), ()
    going = _enter(changed, "ROLLING_BACK", reason, now_s)
    return going, wishes(going)


def _watch_rollback(state: RolloutState, view: FleetView, now_s: float) -> RolloutState:
    """Complete when every reachable device says that it runs its previous version, or when its time is over."""
    left = [device for device in view.devices if device.online and _not_back(state, device)]
    late = now_s - state.changed_s > state.plan.wave_timeout_s
    if left and not late:
        return state
    ending: State = state.ending or "ROLLED_BACK"
    named = ", ".join(device.id for device in left[:5]) + (" and others" if len(left) > 5 else "")
    more = f" (in vain so far on {len(left)}: {named})" if left else ""
    return _enter(state, ending, state.reason + more, now_s)


def _not_back(state: RolloutState, device: DeviceView) -> bool:
    previous, report = state.previous.get(device.id, 0), device.report(state.model)
    # a device that had no version before has nothing to go back to: its wish is withdrawn, and that is all
    if previous == 0:
        return False
    coming = report.attempted == state.version and report.state in UNDER_WAY
    return report.version != previous or coming


def _enter(state: RolloutState, name: State, reason: str, now_s: float) -> RolloutState:
    return msgspec.structs.replace(state, state=name, reason=reason, changed_s=now_s)


__all__ = ["RolloutState", "abort", "draft", "pause", "resume", "start", "step", "wishes"]
