from collections.abc import Iterator
from pathlib import Path

import gpiozero
import pytest
from gpiozero.pins.mock import MockFactory, MockPWMPin

from edge.errors import BadConfigError
from edge_agent.actuators import Application
from edge_agent.actuators.led import Led
from edge_agent.actuators.printer import Printer
from edge_agent.actuators.recorder import Line, Recorder, read_lines
from edge_agent.actuators.servo import Servo

ACTIONS = ("stop", "go")


def application(action: str, *, safe: bool = False) -> Application:
    return Application(action, safe, 3, 1000, 2000)


@pytest.fixture
def pins() -> Iterator[MockFactory]:
    before = gpiozero.Device.pin_factory
    gpiozero.Device.pin_factory = MockFactory(pin_class=MockPWMPin)
    yield gpiozero.Device.pin_factory
    gpiozero.Device.pin_factory.reset()
    gpiozero.Device.pin_factory = before


def test_a_led_shines_to_go_and_is_dark_to_stop(pins: MockFactory) -> None:
    led = Led(Led.Options(pin=17), ACTIONS)
    levels = []
    for action in ("stop", "go", "go", "stop"):
        led.apply(application(action))
        levels.append(bool(pins.pin(17).state))
    led.close()
    assert levels == [False, True, True, False]


def test_a_led_can_be_dimmed(pins: MockFactory) -> None:
    led = Led(Led.Options(pin=18, values={"stop": 0.25, "go": 1.0}, pwm=True), ACTIONS)
    led.apply(application("stop"))
    assert pins.pin(18).state == pytest.approx(0.25)
    led.close()


def test_a_servo_turns_to_the_position_of_the_action(pins: MockFactory) -> None:
    servo = Servo(Servo.Options(pin=12, values={"stop": 0.0, "go": 1.0}), ACTIONS)
    pulses_ms = []
    for action in ("stop", "go"):
        servo.apply(application(action))
        pulses_ms.append(pins.pin(12).state * 20)
    servo.close()
    assert pulses_ms == [pytest.approx(1.5), pytest.approx(2.0)]


@pytest.mark.parametrize("kind", [Led, Servo])
def test_an_action_without_a_value_is_an_error_at_the_start(kind: type[Led | Servo], pins: MockFactory) -> None:
    with pytest.raises(BadConfigError, match="'slow'"):
        kind(kind.Options(pin=17), ("stop", "go", "slow"))


def test_a_recorder_keeps_every_line_and_appends_to_an_older_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "applied.txt"
    for action, safe in (("stop", True), ("go", False)):
        recorder = Recorder(Recorder.Options(path=path), ACTIONS)
        recorder.apply(application(action, safe=safe))
        recorder.close()
    assert read_lines(path) == [Line(2000, 3, 1000, "stop", True), Line(2000, 3, 1000, "go", False)]


def test_an_unfinished_line_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "applied.txt"
    path.write_text("2 1 1 go 0\n3 2 2 g")
    assert read_lines(path) == [Line(2, 1, 1, "go", False)]
    assert read_lines(tmp_path / "none.txt") == []


def test_the_printer_tells_changes_only(capsys: pytest.CaptureFixture[str]) -> None:
    printer = Printer(Printer.Options(), ACTIONS)
    for action, safe in (("stop", True), ("go", False), ("go", False), ("stop", False)):
        printer.apply(application(action, safe=safe))
    printer.close()
    assert capsys.readouterr().err == "stop (safe state)\ngo\nstop\n"
