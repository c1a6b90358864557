"""Where the operators of the file that runs are computed, in which type and why; and the traps that it walks into."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from compiler.placement.ledger import Row
from compiler.placement.lint import Finding
from compiler.result import Compiled

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
    """Sum up the ledger and the traps of what was chosen; of an NPU, its own compiler's word."""
    rows, findings = compiled.placement.ledger.rows, compiled.placement.findings
    notable = [row for row in rows if row.cause != "wanted"]
    return Placement(groups_of(rows), tuple(notable[:SHOWN]), len(notable[SHOWN:]), findings)


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
