"""Sensors beside the camera: wires, watches, and a lidar that speaks its protocol on a pseudo-terminal."""

import os
import signal
import time
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.errors import AgentError, SourceError
from edge_agent import readings
from edge_agent.board import Board
from edge_agent.readings import make_wire
from edge_agent.sensors import Measured
from edge_agent.sensors import rplidar_protocol as protocol
from edge_agent.sensors.rplidar import RPLidar
from edge_agent.sensors.rplidar_simulator import RPLidarSimulator
from edge_agent.sensors.watch import Watch
from edge_agent.specs import HeardSensor

MakeBundle = Callable[..., Path]
MakeConfig = Callable[..., Path]
StartAgent = Callable[..., Any]
WAIT_S = 30.0


def until(done: Callable[[], object]) -> None:
    limit_s = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < limit_s, "waited in vain"
        time.sleep(0.005)


# --- the wire --------------------------------------------------------------------------------------


def test_a_full_wire_makes_room_for_the_newest() -> None:
    wire = make_wire()
    for number in range(200):  # of 8 KB each: many times what fits
        readings.send(wire, Measured(array("f", [number] * 2000), number), 2)
    heard = readings.newest(wire.reader)
    assert heard is not None
    measured, columns = heard
    assert (measured.captured_ns, columns, len(measured.values), measured.values[0]) == (199, 2, 2000, 199.0)
    assert readings.newest(wire.reader) is None


def test_the_largest_scan_fits_and_a_larger_one_is_refused() -> None:
    wire = make_wire()
    readings.send(wire, Measured(array("f", bytes(4 * readings.MAX_VALUES)), 1), 2)
    assert readings.newest(wire.reader) is not None
    with pytest.raises(ValueError, match="the most"):
        readings.send(wire, Measured(array("f", bytes(4 * readings.MAX_VALUES + 8)), 1), 2)


def test_the_board_keeps_the_newest_and_forgets_what_is_too_old() -> None:
    wire = make_wire()
    board = Board((HeardSensor(name="lidar", wire_fd=os.dup(wire.reader.fileno()), max_age_ms=1.0),))
    assert board.fresh(0) == {}
    readings.send(wire, Measured(array("f", [1, 2, 3, 4]), 100), 2)
    assert board.fresh(200)["lidar"].values.tolist() == [[1, 2], [3, 4]]
    assert "lidar" in board.fresh(1_000_100)
    assert board.fresh(1_000_101) == {}


# --- the watch -------------------------------------------------------------------------------------


class Flaky:
    """Cannot be opened at first, breaks off after each measurement, and hangs when it is told to."""

    columns = ("number",)

    def __init__(self) -> None:
        self.opened = self.closed = 0
        self.hangs = False

    def open(self) -> None:
        self.opened += 1
        if self.opened == 1:
            raise SourceError("unplugged", remedy="wait")

    def read(self) -> Measured:
        while self.hangs:
            time.sleep(0.01)
        if self.opened == 2 and self.closed == 1:
            self.closed += 10
            return Measured(array("f", [1]), 1)
        raise SourceError("broke off", remedy="wait")

    def close(self) -> None:
        self.closed += 1


def test_a_sensor_that_breaks_off_is_opened_again_with_growing_pauses() -> None:
    sensor, got = Flaky(), []
    watch = Watch("flaky", sensor, 10.0, got.append)
    assert watch.trouble == "nothing measured yet"
    watch.start()
    until(lambda: sensor.opened >= 4)
    watch.check(time.monotonic())
    watch.end()
    assert (len(got), watch.trouble) == (1, "broke off")
    assert sensor.opened < 8


def test_a_sensor_that_hangs_is_told_so() -> None:
    sensor = Flaky()
    sensor.opened, sensor.hangs = 1, True
    watch = Watch("flaky", sensor, 0.05, lambda _: None)
    watch.start()
    with pytest.raises(AgentError, match="hangs"):
        until(lambda: watch.check(time.monotonic()))
    sensor.hangs = False
    watch.end()


# --- the lidar's protocol --------------------------------------------------------------------------


def turns(count: int, points: int = 40) -> bytes:
    """Whole turns; the number of the turn is its distance in metres."""
    return b"".join(
        protocol.encode_node(360 * i / points, float(turn + 1), first=i == 0)
        for turn in range(count)
        for i in range(points)
    )


def test_a_request_with_a_payload_ends_with_its_checksum() -> None:
    assert protocol.request(protocol.SCAN) == bytes.fromhex("a520")
    assert protocol.request(protocol.MOTOR_PWM, (660).to_bytes(2, "little")) == bytes.fromhex("a5f0029402c1")


def test_a_descriptor_is_found_behind_noise_and_waited_for() -> None:
    whole = bytes.fromhex("a55a0500004081")  # as the protocol's page shows the answer to SCAN
    assert protocol.descriptor(5, many=True, kind=protocol.SCAN_TYPE) == whole
    assert protocol.find_descriptor(b"\x00\xa5" + whole + b"xy") == (protocol.Descriptor(5, True, 0x81), b"xy")
    assert all(protocol.find_descriptor(whole[:n]) is None for n in range(7))


@given(cuts=st.lists(st.integers(1, 60), min_size=1, max_size=40))
def test_turns_are_the_same_however_the_bytes_arrive(cuts: list[int]) -> None:
    data, assembler, found, at = turns(4), protocol.ScanAssembler(), [], 0
    for number, size in enumerate([*cuts, 10_000]):
        found += assembler.feed(data[at : at + size], number)
        at += size
    assert [values[1] for values, _ in found] == [1.0, 2.0, 3.0]
    assert all(len(values) == 80 for values, _ in found)
    assert found[0][0][2::2][:2].tolist() == [9.0, 18.0]
    assert assembler.lost_bytes == 0


@given(where=st.integers(5 * 45, 5 * 195), lost=st.integers(1, 4))
@example(where=398, lost=4)  # the ends of two nodes look like one that begins a turn
def test_after_lost_bytes_every_turn_that_is_delivered_is_whole_and_true(where: int, lost: int) -> None:
    data, assembler = turns(8), protocol.ScanAssembler()
    found = assembler.feed(data[:where] + data[where + lost :], 0)
    for values, _ in found:
        assert set(values[1::2]) == {values[1]}
        assert values[0] <= protocol.EDGE_DEG
        assert np.diff(values[::2]).tolist() == [9.0] * (len(values) // 2 - 1)
    assert len(found) >= 5  # the one that lost bytes, and at most the one beside it, are missing; the last has no end
    assert found[-1][0][1] == 7.0


@given(noise=st.binary(max_size=2000))
def test_noise_never_ends_the_assembler_and_it_finds_its_place_behind_it(noise: bytes) -> None:
    found = protocol.ScanAssembler().feed(noise + turns(4), 0)
    assert [values[1] for values, _ in found][-2:] == [2.0, 3.0]


def test_a_turn_without_its_beginning_is_none() -> None:
    late = b"".join(protocol.encode_node(float(angle), 2.0, first=angle == 40) for angle in range(40, 360))
    assert protocol.ScanAssembler().feed(late + turns(2), 0)[0][0][1] == 1.0


# --- the lidar on its port -------------------------------------------------------------------------


@pytest.fixture
def simulator() -> Iterator[RPLidarSimulator]:
    pytest.importorskip("serial", reason="needs pyserial")
    with RPLidarSimulator(lambda angle_deg, _: 1.0 + angle_deg / 360, turns_hz=20.0) as lidar:
        yield lidar


def lidar_on(simulator: RPLidarSimulator, **options: object) -> RPLidar:
    return RPLidar(RPLidar.Options(port=Path(simulator.port), **options))


def next_turn(lidar: RPLidar) -> Measured:
    limit_s = time.monotonic() + WAIT_S
    while time.monotonic() < limit_s:
        turn = lidar.read()
        if turn is not None:
            return turn
    raise AssertionError("no turn")


def test_a_lidar_is_asked_for_its_health_and_delivers_turn_after_turn(simulator: RPLidarSimulator) -> None:
    lidar = lidar_on(simulator, motor_pwm=660)
    lidar.open()
    first, second = next_turn(lidar), next_turn(lidar)
    lidar.close()
    scan = np.frombuffer(first.values, np.float32).reshape(-1, 2)
    assert scan[:, 0].tolist() == list(range(360))
    assert np.allclose(scan[:, 1], 1.0 + np.arange(360) / 360, atol=0.001)
    assert first.captured_ns < second.captured_ns <= time.monotonic_ns()
    until(lambda: simulator.requests[-1] == protocol.STOP)
    assert simulator.requests == [
        protocol.STOP, protocol.GET_HEALTH, protocol.MOTOR_PWM, protocol.SCAN, protocol.STOP,
    ]  # fmt: skip


def test_turns_that_lost_bytes_are_left_out_and_the_others_come(simulator: RPLidarSimulator) -> None:
    simulator.faults.lose_every = 1000
    lidar = lidar_on(simulator)
    lidar.open()
    for _ in range(6):
        scan = np.frombuffer(next_turn(lidar).values, np.float32).reshape(-1, 2)
        assert len(scan) == 360
        assert np.allclose(scan[:, 1], 1.0 + scan[:, 0] / 360, atol=0.001)
    lidar.close()


def test_an_error_of_the_lidar_and_an_empty_port_are_named(simulator: RPLidarSimulator, tmp_path: Path) -> None:
    simulator.faults.health = 2
    with pytest.raises(SourceError, match="reports error"):
        lidar_on(simulator).open()
    simulator.faults.silent = True
    with pytest.raises(SourceError, match="no lidar answers"):
        lidar_on(simulator).open()
    with pytest.raises(SourceError, match="no lidar at"):
        RPLidar(RPLidar.Options(port=tmp_path / "none")).open()


def test_a_lidar_that_is_unplugged_or_silent_breaks_off(simulator: RPLidarSimulator) -> None:
    lidar = lidar_on(simulator)
    lidar.open()
    next_turn(lidar)
    simulator.unplug()
    with pytest.raises(SourceError, match=r"broke off|silent"):
        until(lambda: lidar.read() is not None and False)
    lidar.close()


# --- the whole agent -------------------------------------------------------------------------------


def test_an_obstacle_beats_green_and_a_lidar_that_falls_silent_stops(
    make_bundle: MakeBundle, make_config: MakeConfig, start_agent: StartAgent
) -> None:
    pytest.importorskip("serial", reason="needs pyserial")
    wall = [3.0]
    with RPLidarSimulator(lambda *_: wall[0], turns_hz=10.0) as simulator:
        config = make_config(
            more=f"sensors:\n  - {{name: lidar, kind: rplidar, port: {simulator.port}, max_age_ms: 500}}\n"
        )
        lidar = "{kind: obstacle, sensor: lidar, hold_s: 0.0}"
        text = config.read_text()
        before = "{kind: classify, go: [green], floor: 0.8, hold_s: 0.0}"
        assert before in text
        config.write_text(text.replace(before, f"{{kind: priority, of: [{lidar}, {before}]}}"))
        agent = start_agent(config, make_bundle())
        agent.goes()
        wall[0] = 0.3
        stops(agent)
        wall[0] = 3.0
        agent.goes()
        simulator.faults.silent = True
        stops(agent)

        def troubles() -> dict[str, str]:
            heard = agent.status().sensors  # None until the process has spoken
            return heard.troubles if heard is not None else {}

        agent.until(lambda: "lidar" in troubles(), "its trouble in the status")
        simulator.faults.silent = False
        agent.goes()
        os.kill(agent.pid("sensors"), signal.SIGSTOP)  # killed, it might be back before its last reading is too old
        stops(agent)
        os.kill(agent.pid("sensors"), signal.SIGKILL)
        agent.goes()
        assert agent.stop() == 0


def stops(agent: Any) -> None:
    """Wait until the newest lines say stop because of frames, not because the guard knows of none."""
    agent.until(lambda: agent.lines()[-1].action == "stop" and not agent.lines()[-1].safe, "stop")
    for line in agent.lines()[-1:]:
        assert line.frame > 0
