"""The quality gates: score drift, label shift, latency, and (said, not obeyed) the share of unsure decisions.

Each compares the devices on the new version with those still on the old one, in the same span of time. When a wave has
left nobody on the old version, the sentence says what was taken instead.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import log

from msgspec.structs import replace

from edge.statistics import LATENCY_EDGES_US, quantile
from fleet.evidence import (
    FRAMES_PER_LABEL,
    Excess,
    drift,
    drift_noise,
    excess,
    label_shifts,
    pooled,
    psi_noise,
)
from fleet.gates import Evidence, controls, decide, holds
from fleet.rollout_state import Gate
from fleet.views import Baseline, Observation


@dataclass(frozen=True, slots=True)
class Answer:
    """A gate, and the figure of the control group for waves that will have none."""

    gate: Gate
    reference: float | None = None


@dataclass(frozen=True, slots=True)
class Groups:
    """Who is compared: observations with enough scores, and a few words on who they are."""

    wave: dict[str, Observation]
    control: dict[str, Observation]
    against: str
    lacking: str
    """Empty, or what evidence is still missing."""


def answers(seen: Evidence) -> tuple[Answer, ...]:
    """All quality gates of the wave as it stands."""
    groups = _groups(seen)
    return (score_drift(seen, groups), label_shift(seen, groups), latency(seen, groups), unsure_share(seen, groups))


def _groups(seen: Evidence) -> Groups:
    need = seen.plan.min_scores
    wave = {device: o for device, o in seen.view.wave.items() if holds(o, need)}
    expected = max(1, (seen.tally.committed + 1) // 2)
    here = [device for device in wave if device in seen.wave.devices]
    lacking = ""
    if len(here) < expected:
        lacking = f"{len(here)} of the wave's devices have sent {need} scores, {expected} are needed"
    candidates = [device.id for device in controls(seen)]
    if candidates:
        control = {device: seen.view.control[device] for device in candidates if _has(seen, device)}
        wanted = max(1, len(candidates) // 2)
        if not lacking and len(control) < wanted:
            lacking = f"{_devices(len(control))} on the old version have sent {need} scores, {wanted} are needed"
        return Groups(wave, control, f"{_devices(len(control))} still on version {seen.state.control_version}", lacking)
    return Groups(wave, {}, "", lacking)


def _devices(count: int) -> str:
    return f"{count} device{'' if count == 1 else 's'}"


def _has(seen: Evidence, device: str) -> bool:
    return holds(seen.view.control.get(device), seen.plan.min_scores)


# --- score drift -------------------------------------------------------------------------------


def score_drift(seen: Evidence, groups: Groups) -> Answer:
    """How much further the new version's scores have left their own baseline than the old version's have left theirs.

    Each version is held against what its own bundle recorded on the bench, so a better model with another confidence
    profile does not drift; a change of light moves both alike and cancels.
    """
    name, limit, need = "score_drift", seen.plan.max_score_drift, seen.plan.min_scores
    baseline, old = _baseline(seen, seen.state.version), _baseline(seen, seen.state.control_version)
    if baseline is None:
        return Answer(Gate(name=name, verdict="wait", limit=limit, text="the bundle's baseline is not at hand"))
    scores = _own_scores(groups.wave, baseline, need)
    control = _drifts(groups.control, old, need)
    lacking = groups.lacking or _silent(scores, groups.wave, "of the wave", need)
    if old is not None:
        lacking = lacking or _silent(control, groups.control, "on the old version", need)
    if lacking:
        return Answer(Gate(name=name, verdict="wait", limit=limit, text=lacking))
    wave = [drift(baseline, counts) for counts in scores]
    reference, instead = _reference(seen, old, alone=not control)
    noise = drift_noise(baseline, sum(map(sum, scores)) / len(scores))
    found = excess(wave, control, reference=reference, noise=noise)
    against = instead if not control or found.control == reference > 0 else groups.against
    return Answer(_judged(seen, found, len(wave), against), reference=found.control)


def _judged(seen: Evidence, found: Excess, devices: int, against: str) -> Gate:
    """The gate of so many devices of the wave; a first version is only spoken of."""
    limit, first = seen.plan.max_score_drift, seen.state.control_version == 0
    verdict = decide(
        soaked=seen.soaked,
        above=not first and found.value > limit,
        sure=found.surely_above(limit),
        seeing=first or found.resolution <= limit,
    )
    text = (
        f"scores left their baseline by PSI {found.wave:.2f} on {_devices(devices)} "
        f"with version {seen.state.version}, by {found.control:.2f} on {against}: "
        f"{found.value:+.2f} ± {found.error:.2f}, limit {limit:g}"
    )
    if first:
        on = _devices(devices)
        text = f"PSI {found.wave:.2f} to its baseline on {on}; a first version has nothing to be worse than"
    return Gate(name="score_drift", verdict=verdict, value=found.value, limit=limit, n=devices, soft=first, text=text)


def _baseline(seen: Evidence, version: int) -> Baseline | None:
    """None where it is not at hand, or was made of no sample."""
    found = seen.view.baselines.get(version)
    return found if found is not None and any(found.counts) else None


def _own_scores(group: Mapping[str, Observation], baseline: Baseline, need: int) -> list[tuple[int, ...]]:
    """Counts of each device that has sent enough scores of the model itself."""
    counts = [baseline.scores_of(observation) for observation in group.values()]
    return [each for each in counts if sum(each) >= max(1, need)]


def _silent(known: Collection[object], group: Collection[object], who: str, need: int) -> str:
    """Empty, or why devices that send scores of their deciders are no evidence all the same."""
    if len(known) >= (len(group) + 1) // 2:
        return ""
    return (
        f"{len(known)} of {_devices(len(group))} {who} have sent {need} scores of the model itself, by which this task "
        "is judged; agents of an older release send none"
    )


def _drifts(group: Mapping[str, Observation], baseline: Baseline | None, need: int) -> list[float]:
    """Of each device with enough scores, from what its version's bundle says."""
    return [] if baseline is None else [drift(baseline, counts) for counts in _own_scores(group, baseline, need)]


def _reference(seen: Evidence, old: Baseline | None, *, alone: bool) -> tuple[float, str]:
    """Drift of the old version on these same devices before: one that stood out already is not the new version's fault.

    When nobody runs the old version now, what it showed in earlier waves stands in for a control group.
    """
    past = {device: o for device, o in seen.view.past.items() if device in seen.wave.devices}
    before = _drifts(past, old, seen.plan.min_scores)
    own = sum(before) / len(before) if before else 0.0
    earlier = seen.references.get("score_drift", 0.0) if alone else 0.0
    if own >= earlier and before:
        return own, f"the same devices with version {seen.state.control_version} before the switch"
    if earlier or not alone:
        return earlier, "the old version in earlier waves"
    return 0.0, "nobody (no device is left on the old version)"


# --- label mix ---------------------------------------------------------------------------------


def label_shift(seen: Evidence, groups: Groups) -> Answer:
    """How much more the wave's label mix differs from the control's than control devices differ from one another."""
    name, limit = "label_shift", seen.plan.max_label_shift
    control, against = _peers(seen, groups)
    if groups.lacking:
        return Answer(Gate(name=name, verdict="wait", limit=limit, text=groups.lacking))
    mine = [o for device, o in groups.wave.items() if device not in control]
    if not control or not mine:
        return Answer(_unasked(seen, name, limit))
    if not any(o.labels for o in (*mine, *control.values())):
        return Answer(replace(_unasked(seen, name, limit), text="neither version names a label"))
    shifts, among = label_shifts([o.labels for o in mine], [o.labels for o in control.values()])
    labels, frames = len({name for o in mine for name in o.labels}), sum(o.decisions for o in mine) / len(mine)
    found = excess(shifts, among, noise=psi_noise(labels, frames, FRAMES_PER_LABEL))
    text = (
        f"label mix differs by PSI {found.wave:.2f} from {against}, which differ by {found.control:.2f} "
        f"among themselves: {found.value:+.2f} ± {found.error:.2f}, limit {limit:g}"
    )
    verdict = decide(
        soaked=seen.soaked,
        above=found.value > limit,
        sure=found.surely_above(limit),
        seeing=found.resolution <= limit,
    )
    return Answer(Gate(name=name, verdict=verdict, value=found.value, limit=limit, n=len(mine), text=text))


def _peers(seen: Evidence, groups: Groups) -> tuple[dict[str, Observation], str]:
    """The control group; when a wave has left none, the devices of earlier waves, which were found good."""
    if groups.control:
        return groups.control, groups.against
    accepted = {device: o for device, o in groups.wave.items() if device not in seen.wave.devices}
    return accepted, f"{_devices(len(accepted))} of earlier waves"


def _unasked(seen: Evidence, name: str, limit: float) -> Gate:
    """There is nobody to compare with, now or ever in this wave: said, and left to the other gates."""
    text = "no device on the old version and no earlier wave to compare with"
    return Gate(name=name, verdict="pass" if seen.soaked else "wait", limit=limit, soft=True, text=text)


# --- latency and unsure ------------------------------------------------------------------------


def latency(seen: Evidence, groups: Groups) -> Answer:
    """95th percentile of inference and decision, over that of the devices still on the old version."""
    name, limit, need = "latency_p95", seen.plan.max_latency_ratio, seen.plan.min_decisions
    control, against = _peers(seen, groups)
    mine = {device: o for device, o in groups.wave.items() if device not in control}
    if groups.lacking:
        return Answer(Gate(name=name, verdict="wait", limit=limit, text=groups.lacking))
    if not control or not mine:
        return Answer(_unasked(seen, name, limit))
    ours, theirs = pooled([o.latency_us for o in mine.values()]), pooled([o.latency_us for o in control.values()])
    least = int(min(ours.sum(), theirs.sum()))
    if least < max(1, need):
        return Answer(Gate(name=name, verdict="wait", limit=limit, n=least, text=f"{least} decisions, {need} needed"))
    new_ms, old_ms = (quantile(h, LATENCY_EDGES_US, 0.95) / 1e3 for h in (ours, theirs))
    ratio = new_ms / max(old_ms, 1e-6)
    spread = _latency_excess(mine, control)
    above = ratio > limit and new_ms - old_ms > seen.plan.latency_slack_ms
    text = f"p95 {new_ms:.2f} ms on {_devices(len(mine))}, {old_ms:.2f} ms on {against}: {ratio:.2f}x, limit {limit:g}x"
    verdict = decide(soaked=seen.soaked, above=above, sure=spread.surely_above(log(limit)))
    return Answer(Gate(name=name, verdict=verdict, value=ratio, limit=limit, n=least, text=text))


def _latency_excess(mine: dict[str, Observation], control: dict[str, Observation]) -> Excess:
    """Difference of log p95 between devices, whose spread says what a ratio is worth."""

    def figures(group: dict[str, Observation]) -> list[float]:
        return [log(max(quantile(pooled([o.latency_us]), LATENCY_EDGES_US, 0.95), 1e-3)) for o in group.values()]

    return excess(figures(mine), figures(control))


def unsure_share(seen: Evidence, groups: Groups) -> Answer:
    """Said, never obeyed: a model that admits doubt is no worse than one that does not."""
    limit = seen.plan.max_unsure_rise
    control, against = _peers(seen, groups)
    mine = [o for device, o in groups.wave.items() if device not in control]
    n = sum(o.decisions for o in mine)
    if not n or not (told := sum(o.decisions for o in control.values())):
        return Answer(Gate(name="unsure_share", verdict="pass", limit=limit, soft=True, text="nothing to compare yet"))
    new, old = sum(o.unsure for o in mine) / n, sum(o.unsure for o in control.values()) / told
    text = f"{new:.1%} of decisions unsure, {old:.1%} on {against}; said, stops nothing"
    return Answer(Gate(name="unsure_share", verdict="pass", value=new - old, limit=limit, n=n, soft=True, text=text))
