"""How long the whole command takes on the MobileNetV2, and how much memory: quick, normal, and both from the cache."""

import os
import sys
from pathlib import Path

import msgspec
from cases import CASES, ROOT
from cells import Cell, keep, remembered, run

CASE = "mobilenet_v2"
ONE = "on one thread"
RUNS = (
    *(f"{effort} {ONE}{again}" for effort in ("quick", "normal") for again in ("", " again")),
    *(f"{effort}{again}" for effort in ("quick", "normal") for again in ("", " again")),
)
"""As the command is called, and with OMP_NUM_THREADS=1: on a busy machine threads that wait for each other spin."""


def measure_effort(folder: Path) -> bool:
    """Run each once, with a cache folder of the bench's own; "again" finds what the run before it kept.

    Returns: whether anything was left to run.
    """
    home, measured = folder / CASE, False
    if not (home / "samples.npz").exists():
        return False
    for name in RUNS:
        path = home / f"effort-{name.replace(' ', '-')}.cell.json"
        if remembered(path) is not None:
            continue
        effort = name.split()[0]
        cache = home / f"cache-{effort}{'-one' if ONE in name else ''}"
        words = [sys.executable, "-m", "edge.cli", "compile", CASES[CASE].model, "--target", "x86-64"]
        words += ["--data", str(home / "samples.npz"), "-o", str(home / "effort.edge"), "--effort", effort]
        variables = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(cache)}
        variables |= {"OMP_NUM_THREADS": "1"} if ONE in name else {}
        print(f"{CASE}: effort {name}", file=sys.stderr, flush=True)
        keep(path, run(words, path.with_suffix(".log"), variables))
        measured = True
    return measured


def efforts(folder: Path) -> dict[str, Cell]:
    """What was measured."""
    found = {}
    for name in RUNS:
        path = folder / CASE / f"effort-{name.replace(' ', '-')}.cell.json"
        if path.exists():
            found[name] = msgspec.json.decode(path.read_bytes(), type=Cell)
    return found
