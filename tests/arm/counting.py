"""Instructions that a turn of the agent takes on an emulated board, as the plugin counts them: **not time**.

The count has no noise of a machine in it: the same code on the same kind of core gives the same number, to 0.7 percent.
That makes a budget of it; see instructions.toml, and `tests/bench/instruction_budget.py`, which writes it.
"""

import json
import re
import subprocess
import tomllib
from collections import defaultdict
from pathlib import Path
from statistics import median

import msgspec
from boards import HERE, ON_BOARD, board_command

CPUS = {"cortex-a72": "Raspberry Pi 4", "cortex-a76": "Raspberry Pi 5"}
BUDGET = HERE / "instructions.toml"
TURNS = 80
"""The first half does not count: Python rewrites its own code while it learns."""
_COUNT = re.compile(r"COUNT all=(\d+) dot=(\d+)")


class Turn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Instructions of one turn with one variant; medians."""

    capture: int
    """A frame of the model's size into the ring, and its announcement."""
    inference: int
    dots: int
    """Of `inference`: those that multiply four bytes at once."""
    rest: int
    """Of the loop: from the model's output to the command, and with the next frame to the model."""


class Budget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was counted, with what."""

    versions: dict[str, str]
    turns: dict[str, dict[str, Turn]]
    """By kind of core, by variant."""


def read_budget() -> Budget:
    """The counts of this repository."""
    return msgspec.convert(tomllib.loads(BUDGET.read_text()), Budget)


def count_turns(root: Path, cpu: str, bundle: Path, plugin: Path) -> Budget:
    """Let a board of one kind of core take turns with every variant of a bundle."""
    words = ["python3", "/opt/edgewright/tests/arm/turns_on_the_board.py", str(ON_BOARD / bundle.name), str(TURNS)]
    # the order in which a set of strings is walked through changes some counts
    command = board_command(root, cpu, bundle.parent, "env", "PYTHONHASHSEED=0", *words, plugin=plugin)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, _COUNT.sub("", done.stdout + done.stderr).strip()
    said, counts = json.loads(done.stdout), [(int(all_), int(dots)) for all_, dots in _COUNT.findall(done.stderr)]
    turns = {}
    for variant, stretches in said["variants"].items():
        of_variant, counts = counts[: len(stretches)], counts[len(stretches) :]
        turns[variant] = _turn(list(zip(stretches, of_variant, strict=True)))
    assert not counts
    return Budget(versions=said["versions"], turns={cpu: turns})


def _turn(counted: list[tuple[str, tuple[int, int]]]) -> Turn:
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for stretch, counts in counted:
        found[stretch].append(counts)
    # what the marks themselves cost is no part of a turn
    every = {name: int(median(count for count, _ in counts[len(counts) // 2 :])) for name, counts in found.items()}
    dots = int(median(count for _, count in found["inference"]))
    capture, inference, rest = (every[name] - every["nothing"] for name in ("capture", "inference", "turn"))
    return Turn(capture=capture, inference=inference, dots=dots, rest=rest)
