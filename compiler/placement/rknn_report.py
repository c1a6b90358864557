"""What rknn-toolkit2 prints: its table of layers, and the lines that tell of a failure it may not return."""

import re

from compiler.placement.ledger import Cause, Ledger, Row

STEPS = ("config", "load_onnx", "build", "export_rknn", "init_runtime", "inference")
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_ROW = re.compile(
    r"^D RKNN: \[[\d:.]+\] (?P<index>\d+) +(?P<kind>\w+) +(?P<dtype>[A-Z]+\d+) +(?P<device>CPU|NPU) +(?P<rest>.*)$"
)
_ERROR = re.compile(rf"^E ({'|'.join(STEPS)}): (?P<said>.+)$", re.MULTILINE)
"""The steps that we call; the compiler below them also prints `E RKNN: Unkown op target: 0` when all is well."""
_RAISED = re.compile(r"^(?!E |W |I |D )[\w.]+: (?P<said>.+)$", re.MULTILINE)
_ENDS = {"InputOperator", "OutputOperator"}


def plain(said: str) -> str:
    """Take the colours out."""
    return _COLOUR.sub("", said)


def find_failure(said: str) -> str | None:
    """Return the first thing that went wrong, or None; of a traceback its last line."""
    errors = list(_ERROR.finditer(plain(said)))
    for error in errors:
        if not error["said"].startswith("Traceback"):
            return error["said"].strip()
    raised = _RAISED.search(plain(said), errors[0].end()) if errors else None
    return raised["said"].strip() if raised else "it gave no reason" if errors else None


def read_layers(said: str, target: str, *, quantized: bool = True) -> Ledger:
    """Read the table of layers, which are those of the chip's graph: fused, and partly others than the source's.

    `quantized`: whether integers were asked for; else float layers on the NPU are as planned.
    """
    found = (_ROW.match(line) for line in plain(said).splitlines())
    return Ledger(target, tuple(_row(match, quantized) for match in found if match))


def _row(match: re.Match[str], quantized: bool) -> Row:
    kind, dtype = match["kind"], match["dtype"].lower()
    last = match["rest"].split()[-1]
    name = last.partition(":")[2] if ":" in last else f"{kind}_{match['index']}"
    device = "npu" if match["device"] == "NPU" else "cpu"
    cause, reason = _why(kind, dtype, device, quantized)
    return Row(int(match["index"]), kind, name, "npu" if device == "npu" else "cpu", dtype, cause, reason, None)


def _why(kind: str, dtype: str, device: str, quantized: bool) -> tuple[Cause, str]:
    if kind in _ENDS:
        return "conversion", "hands the data over between program and NPU"
    if device == "cpu":
        return "unknown", "left to the CPU by rknn-toolkit2, which gave no reason"
    if dtype.startswith("float") and not quantized:
        return "planned", "runs on the NPU; the variant is float"
    if dtype.startswith("float"):
        return "unknown", f"runs on the NPU, in {dtype}: rknn-toolkit2 did not quantize it and gave no reason"
    return "wanted", "taken by rknn-toolkit2"
