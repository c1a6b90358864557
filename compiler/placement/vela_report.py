"""What Vela says of a compilation: its summary table, and the reasons that it prints."""

import csv
import io
import re
from dataclasses import dataclass

from edge.errors import BadModelError

_WARNING = re.compile(r"^Warning \(supported operators\) operator: (?P<kind>\w+), ofm: '(?P<name>.*)'$")


@dataclass(frozen=True, slots=True)
class Estimate:
    """Vela's own estimate of the NPU's part, never a measurement; what is left to the CPU costs nothing in it."""

    cycles: int
    """Of one inference, memory included."""
    npu_cycles: int
    """Of computing alone."""
    clock_hz: float
    ms: float
    """`cycles` at `clock_hz`."""
    macs: int
    sram_kib: float
    dram_kib: float
    flash_kib: float
    """On the chip and off it."""
    source: str
    """For people: which Vela, for which system."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why Vela leaves one operator to the CPU."""

    kind: str
    name: str
    """Of its first output."""
    reason: str


def read_summary(text: str, *, tool: str) -> Estimate:
    """Read the table with one row that Vela writes beside its model.

    Raises: BadModelError if a column is missing: another Vela than the one we know.
    """
    row = next(csv.DictReader(io.StringIO(text)), None) or {}
    try:
        return Estimate(
            cycles=int(float(row["cycles_total"])),
            npu_cycles=int(float(row["cycles_npu"])),
            clock_hz=float(row["core_clock"]),
            ms=float(row["inference_time"]) * 1e3,
            macs=int(float(row["nn_macs"])),
            sram_kib=float(row["sram_memory_used"]),
            dram_kib=float(row["dram_memory_used"]),
            flash_kib=float(row["on_chip_flash_memory_used"]) + float(row["off_chip_flash_memory_used"]),
            source=f"{tool}'s own estimate for {row['system_config']}, {row['memory_mode']}; not measured",
        )
    except (KeyError, TypeError, ValueError) as exc:
        problem = f"Vela's summary cannot be read: {type(exc).__name__}: {exc}"
        raise BadModelError(problem, remedy="pip install 'ethos-u-vela==5.2.0'") from exc


def read_refusals(text: str) -> tuple[Refusal, ...]:
    """Read the warnings: the operator on the first line, `Reason:` on the next, the rule that it breaks below."""
    found: list[Refusal] = []
    lines = text.splitlines()
    for number, line in enumerate(lines):
        head = _WARNING.match(line)
        if head is None or number + 1 == len(lines):
            continue
        said = lines[number + 1].removeprefix("Reason: ")
        rule = lines[number + 2] if number + 2 < len(lines) and not _ends(lines[number + 2]) else ""
        found.append(Refusal(head["kind"], head["name"], f"{said}; {rule}" if rule else said))
    return tuple(found)


def reason_for(refusals: tuple[Refusal, ...], kind: str, name: str) -> str | None:
    """Find what was said of an operator; a fused activation is named as an operator of its own with the same output."""
    same_output = [one for one in refusals if one.name == name]
    exact = [one for one in same_output if one.kind == kind]
    return (exact or same_output)[0].reason if same_output else None


def _ends(line: str) -> bool:
    return not line.strip() or line.startswith(("Warning", "Network summary", "#", "Tensor "))
