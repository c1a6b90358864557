"""Switches on pins (gpiozero's mock), chips on a bus that is a file, and limits on what they say."""

import math
import time
from collections.abc import Iterator
from pathlib import Path

import gpiozero
import numpy as np
import pytest
from gpiozero.pins.mock import MockFactory

from edge.errors import BadConfigError, SourceError
from edge_agent.deciders import Inputs, Reading
from edge_agent.deciders.limits import Limits
from edge_agent.sensors import Sensor
from edge_agent.sensors.i2c import DEVICES, REGISTERS, I2c, Setting, Value
from edge_agent.sensors.pins import Pin, Pins

ACTIONS = ("stop", "go")


def next_row(sensor: Sensor) -> list[float]:
    for _ in range(1000):
        measured = sensor.read()
        if measured is not None:
            assert measured.captured_ns <= time.monotonic_ns()
            return measured.values.tolist()
    raise AssertionError("no row")


@pytest.fixture
def factory() -> Iterator[MockFactory]:
    before = gpiozero.Device.pin_factory
    gpiozero.Device.pin_factory = MockFactory()
    yield gpiozero.Device.pin_factory
    gpiozero.Device.pin_factory.reset()
    gpiozero.Device.pin_factory = before


def test_a_switch_to_ground_is_active_when_it_is_closed(factory: MockFactory) -> None:
    pins = (Pin(name="door", pin=17), Pin(name="light", pin=18, pull_up=False))
    sensor = Pins(Pins.Options(pins=pins, period_s=0.001))
    sensor.open()
    assert next_row(sensor) == [0.0, 0.0]
    factory.pin(17).drive_low()
    factory.pin(18).drive_high()
    assert next_row(sensor) == [1.0, 1.0]
    sensor.close()
    sensor.open()  # the pins were let go
    sensor.close()


def test_a_pin_that_is_taken_is_named(factory: MockFactory) -> None:
    with gpiozero.LED(17), pytest.raises(SourceError, match="pin 17"):
        Pins(Pins.Options(pins=(Pin(name="door", pin=17),))).open()


def test_chips_are_woken_and_read_as_their_manuals_say(tmp_path: Path) -> None:
    bus = tmp_path / "bus"
    memory = bytearray(DEVICES * REGISTERS)
    memory[0x48 * REGISTERS : 0x48 * REGISTERS + 2] = (-600).to_bytes(2, "big", signed=True)
    memory[0x68 * REGISTERS + 0x3B : 0x68 * REGISTERS + 0x3D] = (40000).to_bytes(2, "little")
    bus.write_bytes(memory)
    values = (
        Value(name="celsius", address=0x48, register=0, scale=1 / 256, offset=1.0),
        Value(name="counts", address=0x68, register=0x3B, signed=False, order="little"),
    )
    setup = (Setting(address=0x68, register=0x6B, value=7),)
    sensor = I2c(I2c.Options(path=bus, values=values, setup=setup, period_s=0.001))
    sensor.open()
    assert next_row(sensor) == [1.0 - 600 / 256, 40000.0]
    sensor.close()
    assert bus.read_bytes()[0x68 * REGISTERS + 0x6B] == 7


def test_a_chip_or_a_bus_that_is_not_there_is_named(tmp_path: Path) -> None:
    short = tmp_path / "bus"
    short.write_bytes(bytes(0x48 * REGISTERS))
    values = (Value(name="celsius", address=0x48, register=0),)
    sensor = I2c(I2c.Options(path=short, values=values, period_s=0.001))
    sensor.open()
    with pytest.raises(SourceError, match="chip at 0x48"):
        next_row(sensor)
    sensor.close()
    pytest.importorskip("smbus2", reason="needs smbus2")
    with pytest.raises(SourceError, match="I2C bus"):
        I2c(I2c.Options(path=tmp_path / "i2c-9", values=values)).open()


def limits(**options: object) -> Limits:
    return Limits(Limits.Options(**{"sensor": "door"} | options), (), ACTIONS)


def decide(decider: Limits, value: float | None, now_s: float = 0.0) -> int:
    rows = np.array([[0.0, math.nan if value is None else value]], np.float32)
    readings = {} if value is None else {"door": Reading(rows, round(now_s * 1e9))}
    return decider.decide(Inputs(np.zeros(1, np.float32), readings, now_s)).action


def test_a_value_within_its_limits_goes_and_all_else_stops() -> None:
    decider = limits(column=1, low=0.5, high=2.0)
    assert [decide(decider, value) for value in (0.4, 0.5, 2.0, 2.1, math.nan, None)] == [0, 1, 1, 0, 0, 0]


def test_it_must_lie_within_its_limits_for_a_while() -> None:
    decider = limits(column=1, low=0.5, hold_s=0.3)
    seen = [(1.0, 0.0), (1.0, 0.3), (None, 0.4), (1.0, 0.5), (1.0, 0.9)]
    assert [decide(decider, value, now_s) for value, now_s in seen] == [0, 1, 0, 0, 1]


def test_limits_that_cannot_be_are_explained() -> None:
    with pytest.raises(BadConfigError, match="above high"):
        limits(low=2.0, high=1.0)
    with pytest.raises(BadConfigError, match="no column 2"):
        decide(limits(column=2), 1.0)
