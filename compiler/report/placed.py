"""Where the operators of the file that runs are computed, in which type and why; and the traps that it walks into."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from compiler.candidate import Candidate
from compiler.placement.from_onnx import read_onnx
from compiler.placement.from_tflite import read_tflite
from compiler.placement.ledger import Ledger, Row
from compiler.placement.lint import Finding, lint_onnx, lint_tflite
from compiler.result import Compiled
from edge.target import Target

SHOWN = 24
"""Rows that are named; the report is a page, the ledger may be long."""


@dataclass(frozen=True, slots=True)
class Group:
    """Operators that are alike."""

    device: str
    dtype: str
    cause: str
    operators: int
    share: float | None
    """Of the multiplications; None where an operator's are unknown."""
    kinds: str


@dataclass(frozen=True, slots=True)
class Placement:
    """What the page says of it."""

    groups: tuple[Group, ...]
    notable: tuple[Row, ...]
    """Those that are not plainly as wanted."""
    left_out: int
    findings: tuple[Finding, ...]


def placement_of(compiled: Compiled) -> Placement:
    """Read the ledger and the lint of the main variant."""
    one = compiled.main.candidate
    ledger = _ledger(one, compiled.target)
    notable = [row for row in ledger.rows if row.cause != "wanted"]
    return Placement(groups_of(ledger.rows), tuple(notable[:SHOWN]), len(notable[SHOWN:]), _lint(one, compiled.target))


def groups_of(rows: Sequence[Row]) -> tuple[Group, ...]:
    """Count operators by device, type and cause, the most multiplications first."""
    total = sum(row.macs or 0 for row in rows)
    known = total > 0 and all(row.macs is not None for row in rows)
    alike: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        alike.setdefault((row.device, row.dtype, row.cause), []).append(row)
    made = [
        Group(*key, len(some), sum(row.macs or 0 for row in some) / total if known else None, _kinds(some))
        for key, some in alike.items()
    ]
    return tuple(sorted(made, key=lambda group: (-(group.share or 0.0), -group.operators)))


def _kinds(rows: Sequence[Row], most: int = 5) -> str:
    counted = Counter(row.operator for row in rows).most_common()
    named = ", ".join(f"{count} {kind}" for kind, count in counted[:most])
    return named + (f" and {len(counted) - most} kinds more" if len(counted) > most else "")


def _ledger(one: Candidate, target: Target) -> Ledger:
    kept = frozenset(one.plan.keep_float) if one.plan is not None else frozenset[str]()
    read = read_onnx if one.runtime == "onnxruntime" else read_tflite
    return read(one.data, target, kept_float=kept)


def _lint(one: Candidate, target: Target) -> tuple[Finding, ...]:
    if one.runtime == "onnxruntime":
        return lint_onnx(one.data, target)
    return lint_tflite(one.data, target, one.runtime)
