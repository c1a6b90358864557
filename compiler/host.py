"""The machine that compiles: a measured time names it, and a cache tells its kind from others."""

import platform
from pathlib import Path


def host_core() -> str:
    """Name this machine's processor type, not the machine. Source: proc(5), "model name"; ARM kernels give none."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next((name for name in names if name), platform.processor() or platform.machine())


def is_this_kind(arch: str) -> bool:
    """Tell whether this machine is of an architecture, as `uname -m` names it."""
    return platform.machine() == arch
