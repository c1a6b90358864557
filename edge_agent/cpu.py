"""Which cores this machine has, by the names that targets use; pure but for `read_cpu`."""

import platform
from dataclasses import dataclass
from pathlib import Path

PARTS = {
    "0xd03": "cortex-a53", "0xd04": "cortex-a35", "0xd05": "cortex-a55", "0xd07": "cortex-a57", "0xd08": "cortex-a72",
    "0xd09": "cortex-a73", "0xd0a": "cortex-a75", "0xd0b": "cortex-a76", "0xd41": "cortex-a78", "0xd42": "cortex-a78ae",
}  # fmt: skip
"""Source: Linux, arch/arm64/include/asm/cputype.h, implementer Arm (0x41)."""
ARM = "0x41"


@dataclass(frozen=True, slots=True)
class Cpu:
    """`cores`: types, sorted; `model`: what the kernel calls the board or the processor."""

    cores: tuple[str, ...]
    model: str


def read_cpu() -> Cpu:
    """Look at this machine."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", errors="replace")
    except OSError:
        text = ""
    return parse_cpu(text, platform.machine())


def parse_cpu(text: str, machine: str) -> Cpu:
    """Read `text`, laid out as /proc/cpuinfo; `machine` is what `uname -m` says. Source: proc(5)."""
    pairs = [tuple(part.strip() for part in line.split(":", 1)) for line in text.splitlines() if ":" in line]
    named = {key: value for key, value in pairs if value}
    implementers = {value for key, value in pairs if key == "CPU implementer"}
    parts = {value for key, value in pairs if key == "CPU part"}
    if parts and implementers <= {ARM}:
        cores = {PARTS.get(part, f"arm-{part}") for part in parts}
    else:
        cores = {machine.replace("_", "-") or "unknown"}
    model = named.get("Model") or named.get("model name") or named.get("Hardware") or machine
    return Cpu(tuple(sorted(cores)), model)
