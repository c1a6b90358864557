"""Takes turns: what is compared runs alternately in one run, so that a busy machine slows both alike."""

import os
import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TypeVar

import msgspec

T = TypeVar("T")


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where it was measured, in words; neither a name nor a path."""

    processor: str
    cores: int
    memory_gib: float
    load_before: float
    """Processes that ran or waited, the mean of the minute before the first measurement; an idle machine has 0."""
    load_after: float
    """This run's own processes count, too."""
    versions: dict[str, str]

    def is_like(self, other: "Machine") -> bool:
        """Whether figures of both may stand on one page: the same but for what else ran."""
        return msgspec.structs.replace(other, load_before=self.load_before, load_after=self.load_after) == self


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of time, ours and the alternative's: medians over the rounds, and of the rounds' ratios."""

    ours: float
    other: float
    ratio: float


def in_turns(ours: Callable[[], T], other: Callable[[], T], rounds: int) -> list[tuple[T, T]]:
    """Call both `rounds` times; who begins alternates."""
    results = []
    for number in range(rounds):
        if number % 2 == 0:
            first = ours()
            results.append((first, other()))
        else:
            second = other()
            results.append((ours(), second))
    return results


def pair(rounds: Sequence[tuple[float, float]]) -> Pair:
    """Sum rounds up."""
    return Pair(
        ours=round(median(a for a, _ in rounds), 3),
        other=round(median(b for _, b in rounds), 3),
        ratio=round(median(a / b for a, b in rounds), 3),
    )


def seconds(command: Sequence[str]) -> float:
    """Run a command to its end; how long it took. Raises `SystemExit` with its last words if it fails."""
    start_ns = time.monotonic_ns()
    output(command)
    return (time.monotonic_ns() - start_ns) / 1e9


def output(command: Sequence[str]) -> bytes:
    """What a command prints on stdout. Raises `SystemExit` with its last words if it fails."""
    ended = subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL)
    if ended.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stderr.decode()[-2000:]}")
    return ended.stdout


def load() -> float:
    """The load average of the last minute."""
    return round(os.getloadavg()[0], 2)


def machine(load_before: float) -> Machine:
    """Describe this machine, after the measurements."""
    packages = ("ai-edge-litert", "cyclopts", "numpy", "torch")
    pages, page_bytes = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(pages * page_bytes / 2**30, 1),
        load_before=load_before,
        load_after=load(),
        versions={"python": platform.python_version(), **{name: version(name) for name in packages}},
    )


def _processor() -> str:
    """The kernel's name of the processor; ARM kernels give none, then only its kind."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.machine()
