# ruff: noqa: E501 - it holds the lines of a page
"""The page and the figures of the placement on NPUs."""

from pathlib import Path

import msgspec

HEAD = """# Benchmarks: what runs on an Ethos-U

Written by `tests/bench/placement.py`; `placement.json` beside it has the same figures. [targets.md](../targets.md) explains the rewrites.
Made with {tool}. *Before*: the int8 file as it is. *After*: as `edge compile` gives it to Vela. Operators are counted in the file that
Vela wrote. **Cycles and milliseconds are Vela's own estimate of the NPU's part, not measured**; what stays on the CPU costs nothing in them.

| Network, int8 | Target | On the NPU, before | after | Cycles, before | after | Gain | Estimated ms |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One network on one NPU."""

    network: str
    target: str
    on_npu_before: int
    operators_before: int
    cycles_before: int
    left_before: tuple[str, ...] = ()
    """What stayed on the CPU before the rewrites, and why."""
    on_npu_after: int = 0
    operators_after: int = 0
    cycles_after: int = 0
    estimated_ms: float = 0.0
    left: tuple[str, ...] = ()
    """What stays there after them."""
    changes: tuple[str, ...] = ()
    refused: str = ""
    """Why there is no bundle; then nothing of "after" counts."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All of placement.json."""

    tool: str
    cells: tuple[Cell, ...]
    missing: tuple[str, ...]
    """Networks whose file was not there."""


def write(report: Report, folder: Path) -> None:
    """Write placement.json and placement.md."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "placement.json").write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    (folder / "placement.md").write_text(page(report), encoding="utf-8")


def page(report: Report) -> str:
    """Return the page."""
    rows = "".join(_row(cell) for cell in report.cells)
    reasons = [
        f"- {cell.network} on `{cell.target}`, {when}: {why}" for cell in report.cells for when, why in _left(cell)
    ]
    absent = f"\nNot measured, for want of the file: {', '.join(report.missing)}.\n" if report.missing else ""
    return (
        f"{HEAD.format(tool=report.tool)}{rows}\n## What stays on the CPU, and what is refused\n\n"
        + ("\n".join(reasons) + "\n" if reasons else "Nothing.\n")
        + absent
    )


def _row(cell: Cell) -> str:
    start = f"| {cell.network} | `{cell.target}` | {cell.on_npu_before} of {cell.operators_before} |"
    if cell.refused:
        return f"{start} refused | {cell.cycles_before:,} | | | |\n"
    gain = cell.cycles_before / cell.cycles_after
    return (
        f"{start} {cell.on_npu_after} of {cell.operators_after} | {cell.cycles_before:,} | {cell.cycles_after:,} "
        f"| {f'{gain:.2f} x' if cell.changes else 'nothing to rewrite'} | {cell.estimated_ms:.2f} |\n"
    )


def _left(cell: Cell) -> list[tuple[str, str]]:
    if cell.refused:
        return [("refused", cell.refused)]
    return [*(("before", why) for why in cell.left_before), *(("after", why) for why in cell.left)]
