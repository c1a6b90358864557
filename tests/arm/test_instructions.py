"""What a turn of the agent costs, in instructions of a Raspberry Pi: a budget that no busy machine can disturb."""

from pathlib import Path

import msgspec
import pytest
from counting import CPUS, count_turns, read_budget

AGAIN = (
    "if that is meant: python tests/bench/instruction_budget.py counts again, and writes tests/arm/instructions.toml"
)
WITHIN = 0.02


@pytest.mark.parametrize("cpu", CPUS)
def test_a_turn_of_the_loop_takes_as_many_instructions_as_it_did(
    cpu: str, bundle: Path, device_root: Path, counting_plugin: Path
) -> None:
    counted, budget = count_turns(device_root, cpu, bundle, counting_plugin), read_budget()
    print(cpu, counted)
    assert counted.versions == budget.versions, AGAIN
    assert counted.turns[cpu].keys() == budget.turns[cpu].keys(), AGAIN
    for variant, turn in counted.turns[cpu].items():
        before = msgspec.structs.asdict(budget.turns[cpu][variant])
        assert msgspec.structs.asdict(turn) == pytest.approx(before, rel=WITHIN), f"{variant}: {AGAIN}"
