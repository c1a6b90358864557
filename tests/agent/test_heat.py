"""Heat: the policy as pure steps, the readings from a fake machine of files, and both in a real agent."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.errors import BadConfigError
from edge_agent.config import load_config
from edge_agent.control import Retire, Stage, Switch
from edge_agent.rate import Ratekeeper
from edge_agent.watch.health import MachineHealth, Places, describe, look
from edge_agent.watch.heat import COOL, FEWER_FRAMES, SMALLER_MODEL, Heat, Limits

LIMITS = Limits(warm_c=75, hot_c=80, cool_c=70, hold_s=30)
FLEET = "fleet: {enrol: desk-1.enrol, target: x86-64}\n"


def levels(seen: list[tuple[float, float | None]], *, slowed: bool = False) -> list[int]:
    heat = Heat(LIMITS)
    return [heat.step(celsius, slowed=slowed, now_s=now_s) for now_s, celsius in seen]


def test_warm_costs_frames_and_hot_costs_the_larger_model_one_step_at_a_time() -> None:
    assert levels([(0, 60), (1, 75), (2, 79), (60, 79)]) == [COOL, FEWER_FRAMES, FEWER_FRAMES, FEWER_FRAMES]
    assert levels([(0, 90), (1, 90), (29, 90), (30, 90)]) == [FEWER_FRAMES] * 3 + [SMALLER_MODEL]


def test_it_goes_back_one_step_only_after_it_has_been_cool_for_long() -> None:
    seen = [(0, 90), (30, 90), (40, 69), (69, 70), (70, 70), (99, 60), (100, 60)]
    assert levels(seen) == [1, 2, 2, 2, 1, 1, 0]


def test_a_temperature_between_cool_and_warm_changes_nothing_and_starts_the_cooling_anew() -> None:
    assert levels([(0, 76), (10, 69), (39, 72), (45, 69), (74, 69), (75, 69)]) == [1, 1, 1, 1, 1, 0]


def test_a_machine_that_throttles_itself_is_hot_whatever_its_sensor_says() -> None:
    assert levels([(0, None), (30, 50)], slowed=True) == [FEWER_FRAMES, SMALLER_MODEL]


def test_an_unknown_temperature_changes_nothing() -> None:
    assert levels([(0, 90), (30, None), (100, None), (200, None)]) == [1, 1, 1, 1]


# --- readings ---------------------------------------------------------------------------------------


class Machine:
    """A folder that looks like the files of a machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.places = Places(
            thermal=folder / "thermal", throttled=folder / "throttled", proc=folder / "proc", disk=folder
        )
        (folder / "proc").mkdir(parents=True)
        (folder / "proc" / "meminfo").write_text(
            "MemTotal:  945512 kB\nMemFree: 1 kB\nMemAvailable:  421888 kB\nX: 1\n"
        )
        (folder / "proc" / "loadavg").write_text("0.52 0.58 0.59 1/467 12345\n")
        self.throttle(0)
        self.heat(45.0)

    def heat(self, celsius: float, zone: int = 0) -> None:
        place = self.folder / "thermal" / f"thermal_zone{zone}"
        place.mkdir(parents=True, exist_ok=True)
        (place / "temp").write_text(f"{celsius * 1000:.0f}\n")

    def throttle(self, bits: int) -> None:
        (self.folder / "throttled").write_text(f"{bits:x}\n")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "machine")


def test_the_hottest_zone_and_what_is_so_now_are_read(machine: Machine) -> None:
    machine.heat(61.25, zone=1)
    machine.throttle(0x50005)  # under-voltage and throttled now; frequency was capped since boot
    health = look(machine.places)
    assert health.temperature_c == 61.25
    assert health.throttled == ("under-voltage", "throttled")
    assert health.slowed
    assert (health.memory_mib, health.memory_free_mib, health.load) == (923, 412, 0.52)
    assert describe(health).startswith("61.2 °C, under-voltage, throttled, 412 of 923 MiB memory free, load 0.52, ")


def test_under_voltage_alone_is_not_cured_by_less_work(machine: Machine) -> None:
    machine.throttle(1)
    assert not look(machine.places).slowed


def test_a_machine_that_says_nothing_or_nonsense_is_no_error(tmp_path: Path) -> None:
    nowhere = tmp_path / "none"
    empty = MachineHealth(
        temperature_c=None, throttled=(), memory_mib=None, memory_free_mib=None, load=None, disk_free_mib=None
    )
    assert look(Places(thermal=nowhere, throttled=nowhere, proc=nowhere, disk=nowhere)) == empty
    assert describe(empty) == "temperature unknown"
    spoilt = Machine(tmp_path / "spoilt")
    (spoilt.folder / "thermal" / "thermal_zone0" / "temp").write_text("hot")
    (spoilt.folder / "throttled").write_text("0xzz")
    assert look(spoilt.places).temperature_c is None
    assert look(spoilt.places).throttled == ()


# --- a real agent -----------------------------------------------------------------------------------


def hot_config(make_config: Callable[..., Path], machine: Machine, more: str = "") -> Path:
    places = f"thermal: {machine.places.thermal}, throttled: {machine.places.throttled}, proc: {machine.places.proc}"
    health = f"health: {{hold_s: 1, look_s: 0.5, fps_share: 0.1, {places}}}\n"
    return make_config(fps=40, max_age_ms=2000, more=health + more)


def frames_a_second(agent: Any, seconds: float = 2.0) -> float:
    before = len(agent.lines())
    time.sleep(seconds)
    return (len(agent.lines()) - before) / seconds


def test_a_hot_agent_takes_fewer_frames_then_its_smaller_variant_and_says_so_and_comes_back(
    make_bundle: Callable[..., Path], make_config: Callable[..., Path], start_agent: Any, machine: Machine
) -> None:
    agent = start_agent(hot_config(make_config, machine, FLEET), make_bundle(smaller=True))
    agent.connect()
    agent.goes()
    agent.until(lambda: agent.status() and agent.status().heat == "all frames", "the status")
    machine.heat(77)
    agent.until(lambda: agent.status().heat == "fewer frames", "fewer frames")
    assert frames_a_second(agent) <= 8  # of 40
    assert agent.status().epoch == 1
    machine.throttle(0b100)
    agent.until(lambda: agent.status().epoch == 2, "the smaller variant")
    agent.until(lambda: agent.status().heat.endswith("smaller variant"), "the status")
    agent.goes()
    agent.until(lambda: agent.listen() or len(agent.notices) >= 3, "what the fleet is told")
    texts = [notice.text for notice in agent.notices]
    assert texts[0].startswith("fewer frames: 77.0 °C")
    assert texts[2] == "the smaller variant decides"
    assert "small.onnx" not in str(texts)
    assert agent.status().processes["loop"].pid
    machine.throttle(0)
    machine.heat(40)
    agent.until(lambda: agent.status().epoch == 3 and agent.status().heat == "all frames", "all frames")
    agent.goes()
    assert agent.stop() == 0


def processor_shares(agent: Any, seconds: float = 2.0) -> np.ndarray:
    """Of loop and capture."""

    def spent_s() -> np.ndarray:
        pids = [agent.status().processes[name].pid for name in ("loop", "capture")]
        stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
        return np.array([int(fields[11]) + int(fields[12]) for fields in stats]) / os.sysconf("SC_CLK_TCK")

    before_s = spent_s()
    time.sleep(seconds)
    return (spent_s() - before_s) / seconds


def test_a_hot_agent_does_without_rehearsals(
    make_bundle: Callable[..., Path], make_config: Callable[..., Path], start_agent: Any, machine: Machine
) -> None:
    path = hot_config(make_config, machine, "loop: {rehearse_ms: 12}\n")
    path.write_text(path.read_text().replace("fps_share: 0.1", "fps_share: 1"))  # as many frames as before
    agent = start_agent(path, make_bundle())
    agent.goes()
    agent.until(lambda: agent.status() and "capture" in agent.status().processes, "the status")
    rehearsing = processor_shares(agent)  # awake about half of the time
    machine.heat(77)
    agent.until(lambda: agent.status().heat == "fewer frames", "the heat")
    time.sleep(1.0)  # they hear of it with their next beat
    assert (processor_shares(agent) < 0.5 * rehearsing).all()
    machine.heat(40)
    agent.until(lambda: agent.status().heat == "all frames", "all frames")
    time.sleep(1.0)
    assert (processor_shares(agent) > 0.5 * rehearsing).all()
    assert agent.stop() == 0


def test_while_an_update_is_on_no_other_variant_is_loaded(
    make_bundle: Callable[..., Path], make_config: Callable[..., Path], start_agent: Any, machine: Machine
) -> None:
    agent = start_agent(hot_config(make_config, machine, FLEET), make_bundle(smaller=True))
    agent.connect()
    agent.goes()
    newer = make_bundle(version=2, smaller=True)
    assert agent.ask(Stage(path=str(newer), model="light", version=2)).ok
    assert agent.ask(Switch()).ok
    machine.heat(95)
    agent.until(lambda: agent.status().heat.endswith("smaller variant"), "the heat")
    time.sleep(2.0)
    assert (agent.status().version, agent.status().epoch) == (2, 2)
    assert agent.ask(Retire()).ok
    agent.until(lambda: agent.status().epoch == 3, "the smaller variant")
    assert agent.status().version == 2
    assert agent.stop() == 0


def test_limits_in_the_wrong_order_are_refused(make_config: Callable[..., Path]) -> None:
    with pytest.raises(BadConfigError, match="cool_c < warm_c"):
        load_config(make_config(more="health: {cool_c: 90}\n"))


def test_a_ratekeeper_changes_its_rate_without_a_burst() -> None:
    keeper, ticks = Ratekeeper(100), 0
    start_ns = time.monotonic_ns()
    for step in range(2000):
        if step == 1000:
            keeper.change(10)
        ticks += keeper.due(start_ns + step * 1_000_000 + 1)
    assert 108 <= ticks <= 111
