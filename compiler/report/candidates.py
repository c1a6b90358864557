"""The tables of candidates and of plans, and what the drawings show of each; those that were taken come first."""

from dataclasses import dataclass
from math import isinf

from compiler.drop_bounds import upper95
from compiler.measure import Measured, sqnr_of
from compiler.report import words
from compiler.report.charts.point import Point
from compiler.result import Compiled
from compiler.words import kib, milliseconds, value


@dataclass(frozen=True, slots=True)
class CandidateRow:
    """One line of the candidates table."""

    runtime: str
    dtype: str
    state: str
    size: str
    value: str
    measured_on: str
    drop: str
    interval: str
    bound: str
    agreement: str
    figures: str
    """Beside the metric: SQNR, correlation and so on."""
    predicted: str
    """On the target's core; empty where nobody can say."""
    latency: str
    spread: str
    reason: str
    note: str


@dataclass(frozen=True, slots=True)
class TriedRow:
    """One plan and what became of it."""

    plan: str
    state: str
    sqnr: str
    drop: str
    predicted: str
    note: str


def candidate_rows(compiled: Compiled) -> list[CandidateRow]:
    """One for each candidate."""
    return [_candidate(compiled, index) for index in _order(compiled)]


def tried_rows(compiled: Compiled) -> list[TriedRow]:
    """One for each plan that could be built."""
    return [_tried(compiled, index) for index in _order(compiled)]


def points_of(compiled: Compiled) -> list[Point]:
    """One for each candidate, in the order in which they were built."""
    return [Point(_name(one), one, index == compiled.choice.main) for index, one in enumerate(compiled.measured)]


def core_of(compiled: Compiled) -> str:
    """Name the core that the predictions are for."""
    cores = [one.predicted.core for one in compiled.measured if one.predicted is not None]
    return cores[0] if cores else compiled.target.title


def _order(compiled: Compiled) -> list[int]:
    rest = [index for index in range(len(compiled.measured)) if index not in compiled.choice.taken]
    return [*compiled.choice.taken, *rest]


def _candidate(compiled: Compiled, index: int) -> CandidateRow:
    one, choice = compiled.measured[index], compiled.choice
    quality, timing = one.quality, one.timing
    low, high = words.milliseconds(timing.low), words.milliseconds(timing.high)
    return CandidateRow(
        runtime=words.title(one.candidate.runtime),
        dtype=one.candidate.dtype,
        state=choice.role(index),
        size=kib(len(one.candidate.data)),
        value=value(quality.metric, quality.compiled),
        measured_on="" if compiled.proved(one) else "on the select part",
        drop=f"{100 * quality.drop:+.2f}",
        interval=f"{100 * quality.ci95[0]:+.2f} to {100 * quality.ci95[1]:+.2f}",
        bound=f"{100 * upper95(one):+.2f}",
        agreement=f"{quality.agreement:.2%}",
        figures=_figures(one),
        predicted=milliseconds(one.predicted) if one.predicted else "",
        latency="simulated" if timing.simulated else words.milliseconds(timing.ms),
        spread="" if timing.simulated else f"{low} to {high}",
        reason=words.sentence(choice.reasons[index]),
        note=words.sentence(one.candidate.note),
    )


def _tried(compiled: Compiled, index: int) -> TriedRow:
    one = compiled.measured[index]
    sqnr = sqnr_of(one)
    return TriedRow(
        plan="packed as it came" if one.candidate.plan is None else str(one.candidate.plan),
        state=compiled.choice.role(index),
        sqnr="exact" if isinf(sqnr) else f"{sqnr:.1f} dB",
        drop=f"{100 * one.quality.drop:+.2f}",
        predicted=milliseconds(one.predicted) if one.predicted else "-",
        note=words.sentence(one.candidate.note),
    )


def _figures(one: Measured) -> str:
    shown = []
    for figure in one.compared.figures:
        number = "exact" if figure.value is None and figure.unit == "dB" else "unknown"
        if figure.value is not None:
            number = f"{figure.value:.1f} {figure.unit}" if figure.unit else f"{figure.value:.4f}"
        shown.append(f"{figure.name} {number}")
    return ", ".join(shown)


def _name(one: Measured) -> str:
    """Runtime and type; and the ranges, where several files differ in them."""
    plan = one.candidate.plan
    ranges = f" {plan.ranges}" if plan is not None and plan.ranges != "minmax" else ""
    return f"{words.title(one.candidate.runtime)} {one.candidate.dtype}{ranges}"
