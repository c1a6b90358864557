"""Count again what a turn of the agent costs on the emulated boards, and write tests/arm/instructions.toml.

    python tests/bench/instruction_budget.py

Needs the board that `pytest tests/arm` builds under .cache, root and Linux >= 6.7, as there. To be run when a test says
that the counts have changed and that is meant, or when constraints.txt names other versions; a quarter of a minute.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

sys.path.append(str(Path(__file__).parents[1] / "arm"))  # the boards of the tests are the ones that are counted on here
from colour_bundles import compile_colours
from counting import BUDGET, CPUS, Budget, count_turns

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "arm"
HEAD = """# Instructions of one turn of the agent's loop on an emulated board, by kind of core and variant; not time.
# Written by tests/bench/instruction_budget.py: tests/arm/colours.py, compiled for raspberrypi4; one thread.
# tests/arm/counting.py says what each number is, tests/arm/test_instructions.py holds them within 2 %.
"""


def main() -> None:
    """Count on every kind of core."""
    if not (CACHE / "root-arm64").exists():
        sys.exit("no board yet: run `pytest tests/arm` first")
    made = subprocess.run(
        ["bash", ROOT / "tests/arm/make_plugin.sh", CACHE], capture_output=True, text=True, check=True
    )
    plugin = Path(made.stdout.split()[-1])
    with tempfile.TemporaryDirectory() as folder:
        bundle = compile_colours(Path(folder))
        counted = [count_turns(CACHE / "root-arm64", cpu, bundle, plugin) for cpu in CPUS]
    turns = {cpu: of_cpu for each in counted for cpu, of_cpu in each.turns.items()}
    BUDGET.write_text(HEAD + "\n" + as_toml(Budget(versions=counted[0].versions, turns=turns)))
    print(BUDGET.read_text())


def as_toml(budget: Budget) -> str:
    """Tables of numbers and words."""
    tables = {"versions": {name: f'"{text}"' for name, text in budget.versions.items()}}
    for cpu, variants in budget.turns.items():
        for variant, turn in variants.items():
            tables[f'turns.{cpu}."{variant}"'] = {name: f"{n:_}" for name, n in msgspec.structs.asdict(turn).items()}
    lines = []
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{key} = {value}" for key, value in table.items()), ""]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    main()
