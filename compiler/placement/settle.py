"""Where the chosen files run: a ledger, the traps, and for an NPU its own file with a stand-in that can be measured.

An NPU's file cannot run here. Until the golden samples are verified its int8 .tflite stands in for it, on LiteRT; only
what goes into the bundle is the NPU's (`Settled.packed`).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from compiler.candidate import Candidate
from compiler.choose import Choice
from compiler.export import FORMATS
from compiler.measure import Measured
from compiler.placement.from_onnx import read_onnx
from compiler.placement.from_tflite import read_tflite
from compiler.placement.ledger import Ledger, Row, unexplained
from compiler.placement.lint import Finding, lint_onnx, lint_tflite
from compiler.placement.npu_candidates import hold_npu
from compiler.placement.place import Placed, npu_tool, npu_variant, place
from compiler.placement.vela_report import Estimate
from compiler.quantize.float_state import layers_of_state
from compiler.quantize.split_outputs import joins_at_outputs
from edge.errors import BadModelError
from edge.target import Target

NAMED = 5
"""Operators that an error names; the others are counted."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where each operator of the main variant runs."""

    ledger: Ledger
    findings: tuple[Finding, ...]
    """Known traps that the main variant or the fallback walks into."""
    estimate: Estimate | None = None
    """The NPU compiler's own, of the NPU's part; None on a CPU."""
    changes: tuple[str, ...] = ()
    """What was rewritten before the NPU's compiler."""


@dataclass(frozen=True, slots=True, eq=False)
class Settled:
    """What was chosen, as it is measured here and as it is packed."""

    measured: tuple[Measured, ...]
    """All candidates; in the place of the main one what stands in for the NPU, if there is one."""
    choice: Choice
    placement: Placement
    placed: Placed | None = field(default=None, repr=False)
    tool: str | None = None
    """Name and version of the NPU's compiler."""

    def packed(self, taken: Sequence[Candidate]) -> tuple[Candidate, ...]:
        """Return what the bundle holds: an NPU's file in the place of its stand-in, and nothing for a CPU beside it."""
        if self.placed is None:
            return tuple(taken)
        variant = npu_variant(self.placed)
        return (replace(taken[0], runtime=variant.runtime, data=self.placed.content, variant=variant),)

    @property
    def traps(self) -> tuple[str, ...]:
        """What was found, as warnings."""
        return tuple(f"{finding.sentence}; {finding.remedy}" for finding in self.placement.findings)

    @property
    def tools(self) -> dict[str, str]:
        """Name and version of the NPU's compiler, for the provenance."""
        return {} if self.tool is None else dict([self.tool.rsplit(" ", 1)])


def settle(
    measured: Sequence[Measured],
    choice: Choice,
    target: Target,
    *,
    no_fallback: bool,
    ledgers: Mapping[str, Ledger] | None = None,
) -> Settled:
    """Say where the chosen files run; compile the main one for the target's NPU, if it has one.

    Args:
        measured: all candidates.
        choice: which of them go into the bundle.
        target: the kind of device.
        no_fallback: refuse a main variant with an operator on the CPU or in float that no plan asked for.
        ledgers: of files that an NPU's compiler has made and placed already, by their sha256.

    Raises: BadModelError, also if Vela cannot compile the file; MissingExtraError.
    """
    if target.npu_compiler == "vela":
        placed = place(measured[choice.main].candidate.data, target, move_input=False)
        candidate = _stand_in(measured[choice.main].candidate, placed)
        measured = [replace(one, candidate=candidate) if at == choice.main else one for at, one in enumerate(measured)]
        settled = Settled(
            tuple(measured),
            _told(choice, placed, target),
            Placement(placed.ledger, lint(candidate, target), placed.estimate, placed.changes),
            placed,
            placed.tool,
        )
    else:
        if target.npu_compiler is not None:
            hold_npu(measured, choice, target)
        taken = [measured[index].candidate for index in choice.taken]
        made = ledgers or {}
        findings = dict.fromkeys(
            finding for one in taken if one.variant.sha256 not in made for finding in lint(one, target)
        )
        ledger = made.get(taken[0].variant.sha256) or ledger_of(taken[0], target)
        settled = Settled(tuple(measured), choice, Placement(ledger, tuple(findings)), tool=npu_tool(target))
    if no_fallback:
        refuse_fallback(settled.placement.ledger)
    return settled


def ledger_of(candidate: Candidate, target: Target) -> Ledger:
    """Say of every operator in which type a CPU computes it, and why.

    Raises: BadModelError; MissingExtraError.
    """
    read = read_onnx if candidate.runtime == "onnxruntime" else read_tflite
    return read(candidate.data, target, kept_float=kept_float(candidate))


def lint(candidate: Candidate, target: Target) -> tuple[Finding, ...]:
    """Look for the known traps of one file.

    Raises: BadModelError; MissingExtraError.
    """
    if candidate.runtime == "onnxruntime":
        return lint_onnx(candidate.data, target)
    return lint_tflite(candidate.data, target, candidate.runtime)


def kept_float(candidate: Candidate) -> frozenset[str]:
    """Name the operators that the plan wants in float: its layers, and those that a pass may have left so."""
    plan = candidate.plan
    if plan is None:
        return frozenset()
    names = set(plan.keep_float)
    network = FORMATS[plan.file_format].read_network(candidate.data)
    if "split-outputs" in plan.passes:
        names |= {layer.name for path in joins_at_outputs(network) for layer in path}
    if "float-state" in plan.passes:
        names |= {*layers_of_state(network)}
    return frozenset(names)


def refuse_fallback(ledger: Ledger) -> None:
    """Hold that no operator runs on the CPU beside an NPU, or in float, unless a plan asked for it.

    Raises: BadModelError with the operators.
    """
    left = unexplained(ledger)
    if not left:
        return
    more = f"; and {len(left) - NAMED} more" if len(left) > NAMED else ""
    raise BadModelError(
        f"{len(left)} of {len(ledger.rows)} operators fall back, and --no-fallback forbids it: "
        f"{'; '.join(_named(row) for row in left[:NAMED])}{more}",
        remedy="replace these operators in the network, or compile without --no-fallback",
    )


def _named(row: Row) -> str:
    return f"{row.operator} {row.name} ({row.device}, {row.dtype}: {row.reason})"


def _stand_in(candidate: Candidate, placed: Placed) -> Candidate:
    """Return the file that the NPU's was made of, to be run by LiteRT."""
    data = placed.reference
    variant = msgspec.structs.replace(candidate.variant, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
    return replace(candidate, data=data, variant=variant)


def _told(choice: Choice, placed: Placed, target: Target) -> Choice:
    """Say in the reason for the main candidate who runs it, and that it was measured on a stand-in."""
    rows = placed.ledger.rows
    on_npu = sum(row.device == "npu" for row in rows)
    sentence = (
        f"{choice.sentence}; {placed.tool} puts {on_npu} of {len(rows)} operators on {target.npu}, "
        "for which LiteRT stands in here"
    )
    reasons = [sentence if index == choice.main else reason for index, reason in enumerate(choice.reasons)]
    return replace(choice, sentence=sentence, reasons=tuple(reasons))
