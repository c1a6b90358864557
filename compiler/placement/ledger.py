"""The placement ledger: where each operator of a compiled model runs, in which type, and why there."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

Device = Literal["cpu", "npu"]
Cause = Literal["wanted", "planned", "conversion", "refused", "unknown"]
"""Why an operator runs as it does.

wanted: integers, on the target's own device. planned: float because the recipe says so. conversion: it only changes a
type at the border of one of the others. refused: a tool says why it cannot be better. unknown: nobody says.
"""
UNEXPLAINED: frozenset[Cause] = frozenset({"refused", "unknown"})
"""What no plan asked for: `--no-fallback` fails on these, whether or not a tool gave its reason."""


@dataclass(frozen=True, slots=True)
class Row:
    """One operator."""

    index: int
    """Its place in the file, from 0."""
    operator: str
    """As the file format names it: CONV_2D, Conv."""
    name: str
    """Of its first output (TFLite) or of the node (ONNX)."""
    device: Device
    dtype: str
    """What it computes in; "float32 to int8" for a conversion."""
    cause: Cause
    reason: str
    """For people; never empty."""
    macs: int | None
    """Multiplications of one inference; None where the shapes do not say."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """All operators of one file, in its order."""

    target: str
    rows: tuple[Row, ...]

    @property
    def npu_share(self) -> float:
        """Share of the operators that run on the NPU; 0 for a model without operators."""
        return sum(row.device == "npu" for row in self.rows) / max(len(self.rows), 1)

    @property
    def npu_mac_share(self) -> float | None:
        """Share of the multiplications that run on the NPU; None if unknown for an operator, or if there are none."""
        if any(row.macs is None for row in self.rows):
            return None
        total = sum(row.macs or 0 for row in self.rows)
        return sum(row.macs or 0 for row in self.rows if row.device == "npu") / total if total else None

    @property
    def float_share(self) -> float:
        """Share of the operators that compute in float; conversions do not count as such."""
        computing = [row for row in self.rows if row.cause != "conversion"]
        return sum(row.dtype.startswith("float") for row in computing) / max(len(computing), 1)


def unexplained(ledger: Ledger) -> tuple[Row, ...]:
    """List the fallbacks, to float or to the CPU, that nothing in the plan asked for."""
    return tuple(row for row in ledger.rows if row.cause in UNEXPLAINED)


def on_npu(ledger: Ledger, left: Mapping[int, str | None], *, tool: str) -> Ledger:
    """Return the ledger as an NPU's compiler placed it.

    Args:
        ledger: before that compiler: everything on the CPU.
        left: index of each operator that stayed on the CPU -> the tool's reason, or None if it gave none.
        tool: name of the compiler.
    """
    return replace(ledger, rows=tuple(_placed(row, left, tool) for row in ledger.rows))


def _placed(row: Row, left: Mapping[int, str | None], tool: str) -> Row:
    if row.index not in left:
        return replace(row, device="npu", cause="wanted", reason=f"taken by {tool}")
    if row.cause != "wanted":  # float, or a change from and to float: the ledger already says why, no NPU takes it
        return row
    said = left[row.index]
    if said is None:
        return replace(row, cause="unknown", reason=f"left to the CPU by {tool}, which gave no reason")
    return replace(row, cause="refused", reason=f"{tool}: {said}")


def explain(rows: Iterable[Row]) -> str:
    """Name each operator with its reason: one line a row, for an error or a report."""
    return "\n".join(f"{row.index} {row.operator} {row.name}: {row.device}, {row.dtype}: {row.reason}" for row in rows)
