"""Rollouts: the waves as a track, each gate with its figure and limit, and in one sentence why it ended as it did."""

from itertools import pairwise

from fleet.dashboard.html import card, chip, clock, esc, figure, state_chip, table
from fleet.plan import wave_sizes
from fleet.rollout_state import Gate, RolloutState, Tally, Wave

GATE_NAMES = {
    "committed_share": "Committed",
    "failures": "Failures",
    "soak": "Soak, s",
    "latency_p95": "Latency, p95",
    "score_drift": "Score drift",
    "label_shift": "Label mix",
    "unsure_share": "Unsure",
}


def rollout_line(state: RolloutState) -> str:
    """The newest rollout, on the first page."""
    reason = f'<span class="ew-sub">{esc(state.reason)}</span>' if state.reason else ""
    return (
        f'<a class="ew-card" href="/rollouts"><div class="ew-row"><b>{esc(state.model)} v{state.version}</b>'
        f"{state_chip(state.state)}{reason}</div>{track(state)}</a>"
    )


def rollout_panel(state: RolloutState) -> str:
    """One rollout in full; the buttons are added by the page."""
    wave = state.waves[-1] if state.waves else None
    started = f'<span class="ew-sub">started {clock(state.created_s)}</span>' if state.created_s else ""
    return (
        f'<div class="ew-row"><h1>{esc(state.model)} v{state.version}</h1>{state_chip(state.state)}'
        f'<span class="end">{started}</span></div>{track(state)}{_reason(state)}'
        + "".join(f'<div style="margin-top:18px">{_wave_gates(w)}</div>' for w in reversed(state.waves) if w.gates)
        + ("" if wave else '<p class="ew-sub">No device has been asked yet.</p>')
    )


def track(state: RolloutState) -> str:
    """One segment a wave: committed, failed, working, offline."""
    sizes = wave_sizes(state.plan, len(state.scope)) if state.scope else (1,)
    segments = []
    for number, (before, upto) in enumerate(pairwise((0, *sizes))):
        wave = state.waves[number] if number < len(state.waves) else None
        name = "canary" if number == 0 else f"wave {number}"
        now = " now" if wave is not None and wave.ended_s is None else ""
        tally = wave.tally if wave else Tally(size=upto - before)
        segments.append(
            f'<div class="ew-wave{now}">{_tally_bar(tally)}<div class="t"><b>{name}</b>'
            f"<span>{tally.committed} of {tally.size}</span></div></div>"
        )
    return f'<div class="ew-track">{"".join(segments)}</div>'


def _tally_bar(tally: Tally) -> str:
    """Shares of one wave."""
    size = max(1, tally.size)
    parts = ((tally.committed, "go"), (tally.failed, "stop"), (tally.working, "info"), (tally.offline, "idle"))
    bars = "".join(f'<i class="ew-{tone}" style="width:{100 * n / size:.1f}%"></i>' for n, tone in parts)
    return f'<div class="ew-bar">{bars}</div>'


def _reason(state: RolloutState) -> str:
    """Why it is paused, going back or over."""
    if not state.reason:
        return ""
    calm = "" if state.state in {"ROLLING_BACK", "ROLLED_BACK", "ABORTED"} else " calm"
    return f'<div class="ew-reason{calm}">{esc(state.reason)}</div>'


def _wave_gates(wave: Wave) -> str:
    """The gates of one wave as a table of figure against limit."""
    name = "Canary" if wave.number == 0 else f"Wave {wave.number}"
    rows = [_gate_row(gate) for gate in wave.gates]
    heads = (("", "gate"), ("num", "figure"), ("num", "limit"), ("", ""), ("", "verdict"), ("", "in words"))
    ended = f", ended {clock(wave.ended_s)}" if wave.ended_s else ""
    who = ", ".join(wave.devices[:6]) + (" …" if len(wave.devices) > 6 else "")
    return card(f"{name}: {who}; began {clock(wave.started_s)}{ended}", table(heads, rows))


def _gate_row(gate: Gate) -> tuple[tuple[str, str], ...]:
    """One gate."""
    verdict = chip("said only") if gate.soft else state_chip(gate.verdict)
    value = "–" if gate.value is None else figure(gate.value)
    return (
        ("", f"<b>{esc(GATE_NAMES.get(gate.name, gate.name.replace('_', ' ')))}</b>"),
        ("num", value),
        ("num dim", figure(gate.limit)),
        ("", _gauge(gate)),
        ("", verdict),
        ("dim", esc(gate.text)),
    )


def _gauge(gate: Gate) -> str:
    """Figure against limit, the limit at two thirds of the width."""
    if gate.value is None or gate.limit <= 0:
        return ""
    filled = min(100.0, 66.0 * max(0.0, gate.value) / gate.limit)
    tone = {"pass": "go", "wait": "info", "stop": "stop"}[gate.verdict]
    return f'<div class="ew-gauge"><i class="ew-{tone}" style="width:{filled:.0f}%"></i><u style="left:66%"></u></div>'
