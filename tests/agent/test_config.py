import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.errors import BadConfigError, FileMissingError, UnknownTargetError
from edge_agent import actuators, deciders, sensors, sources
from edge_agent.config import (
    ActuatorConfig,
    AgentConfig,
    CaptureStoreConfig,
    DeciderConfig,
    FleetConfig,
    GuardConfig,
    HealthConfig,
    LoopConfig,
    SensorConfig,
    SourceConfig,
    ViewConfig,
    load_config,
)
from edge_agent.plugins import load_class

MakeConfig = Callable[..., Path]
LIDAR = "{name: lidar, kind: rplidar, port: /dev/ttyUSB0, max_age_ms: 500}"
GOOD = """
device: desk-1
model: light
state_dir: state
source: {kind: images, path: pictures}
decider: {go: [green]}
actuators:
  - {kind: print}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "agent.yaml"
    path.write_text(text)
    return path


def test_paths_are_relative_to_the_file_and_defaults_are_filled_in(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, GOOD + "guard: {max_age_ms: 80}\n"))
    assert config.state_dir == tmp_path / "state"
    assert (config.source.fps, config.decider.actions) == (30.0, ("stop", "go"))
    assert (config.actuators[0].max_age_ms, config.actuators[0].safe_state) == (80.0, "stop")
    assert config.fleet is None


@pytest.mark.parametrize(
    ("old", "new", "place", "nearest"),
    [
        ("state_dir:", "statedir:", "agent.yaml", "state_dir"),
        ("path: pictures", "pth: pictures", "source", "path"),
        ("path: pictures", "path: pictures, ftps: 9", "source", "fps"),
        ("go: [green]", "go: [green], flor: 0.5", "decider", "floor"),
        ("kind: print", "kind: print, max_age: 9", "actuators[0]", "max_age_ms"),
        ("kind: print", "kind: recordr, path: x", "actuators", "recorder"),
        ("kind: images", "kind: image", "source", "images"),
        ("device: desk-1", "device: desk-1\nloop: {thread: 2}", "loop", "threads"),
        ("device: desk-1", "device: desk-1\nguard: {hangs: 2}", "guard", "hang_s"),
        ("device: desk-1", "device: desk-1\nfleet: {enroll: x}", "fleet", "enrol"),
        ("kind: print", "kind: print, safe_state: stopp", "actuators[0]", "stop"),
        ("device: desk-1", f"device: desk-1\nsensors: [{LIDAR.replace('port', 'prot')}]", "sensors[0]", "port"),
        ("device: desk-1", f"device: desk-1\nsensors: [{LIDAR.replace('rplidar', 'rplida')}]", "sensors", "rplidar"),
        ("{go: [green]}", f"{{kind: obstacle, sensor: lydar}}\nsensors: [{LIDAR}]", "decider", "lidar"),
        ("{go: [green]}", "{kind: any, of: [{kind: classify, goo: []}, {kind: x}]}", "decider.of[0]", "go"),
        ("{go: [green]}", "{kind: any, of: [{kind: classify, go: []}, {kind: al}]}", "deciders", "all"),
    ],
)
def test_a_misspelt_key_is_named_with_its_place_and_the_nearest_known_one(
    tmp_path: Path, old: str, new: str, place: str, nearest: str
) -> None:
    with pytest.raises(BadConfigError) as caught:
        load_config(write(tmp_path, GOOD.replace(old, new)))
    assert place in caught.value.problem
    assert f"did you mean {nearest!r}" in caught.value.remedy


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("source: {kind: images, path: pictures}", "", "'source' is missing"),
        ("path: pictures", "path: pictures, fps: -1", "fps"),
        ("path: pictures", "path: pictures, fps: fast", "fps"),
        ("path: pictures", "path: 7", "path"),
        ("go: [green]", "go: [green], floor: 1.5", "floor"),
        ("device: desk-1", "device: desk/1", "device"),
        ("device: desk-1", "device: desk-1\nsensors: lidar", "sensors: a list"),
        ("device: desk-1", f"device: desk-1\nsensors: [{LIDAR}, {LIDAR}]", "'lidar' is there twice"),
        ("{go: [green]}", "{kind: all, of: [{go: [green]}, {kind: classify, go: []}]}", "one of them `kind`"),
        ("{go: [green]}", "{kind: all, of: []}", "of"),
        ("actuators:\n  - {kind: print}", "actuators: print", "actuators"),
        ("actuators:\n  - {kind: print}", "actuators: [print]", "actuators[0]"),
        ("source: {kind: images, path: pictures}", "source: images", "source"),
        (GOOD, "just words", "holds no keys"),
        (GOOD, "a: [1", "not YAML"),
    ],
)
def test_an_impossible_value_is_named_with_its_place(tmp_path: Path, old: str, new: str, problem: str) -> None:
    with pytest.raises(BadConfigError) as caught:
        load_config(write(tmp_path, GOOD.replace(old, new)))
    assert problem in caught.value.problem


def test_the_ways_of_an_update_are_read_and_a_folder_is_relative_to_the_file(tmp_path: Path) -> None:
    fleet = "fleet: {enrol: desk-1.enrol, target: x86-64, folder: stick, transport: mqtt}\n"
    found = load_config(write(tmp_path, GOOD + fleet)).fleet
    assert found is not None
    assert (found.folder, found.transport) == (tmp_path.resolve() / "stick", "mqtt")
    with pytest.raises(BadConfigError, match="pigeon"):
        load_config(write(tmp_path, GOOD + fleet.replace("mqtt", "pigeon")))


def test_an_unknown_target_of_the_fleet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownTargetError):
        load_config(write(tmp_path, GOOD + "fleet: {enrol: desk-1.enrol, target: toaster}\n"))


def test_a_configuration_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileMissingError, match=r"none\.yaml"):
        load_config(tmp_path / "none.yaml")


def test_the_users_own_class_is_only_looked_at_on_request(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace("kind: images, path: pictures", "kind: 'own.py:Mine', speed: fast"))
    assert load_config(path).source.options == {"speed": "fast"}
    with pytest.raises(BadConfigError, match="no file"):
        load_config(path, strangers=True)
    (tmp_path / "own.py").write_text(
        "import msgspec\n"
        "class Mine:\n"
        "    class Options(msgspec.Struct, forbid_unknown_fields=True):\n"
        "        speed: float\n"
    )
    with pytest.raises(BadConfigError, match="speed"):
        load_config(path, strangers=True)


def edge(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "edge.cli", *words], capture_output=True, text=True, check=False)


def test_check_says_that_all_is_well_or_what_is_not(tmp_path: Path) -> None:
    good = edge("run", "--check", str(write(tmp_path, GOOD)))
    assert (good.returncode, "in order" in good.stdout) == (0, True)
    bad = edge("run", "--check", str(write(tmp_path, GOOD.replace("decider:", "decidr:"))))
    assert bad.returncode == BadConfigError.exit_code
    assert "decidr" in bad.stderr
    assert "did you mean 'decider'?" in bad.stderr


def test_the_supervisor_and_a_configuration_load_no_model_code(make_config: MakeConfig) -> None:
    script = (
        "import sys, json, pathlib, edge_agent.supervisor, edge_agent.start, edge_agent.config\n"
        f"edge_agent.config.load_config(pathlib.Path({str(make_config())!r}))\n"
        "print(json.dumps([m for m in ('numpy', 'cv2', 'onnxruntime', 'paho', 'tuf') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


PAGE = Path(__file__).parents[2] / "docs" / "agent.md"


def test_the_example_of_the_page_is_a_configuration(tmp_path: Path) -> None:
    example = PAGE.read_text().partition("```yaml\n")[2].partition("```")[0]
    assert load_config(write(tmp_path, example)).actuators[1].max_age_ms == 200


def test_the_page_explains_every_key() -> None:
    text = PAGE.read_text()
    sections = (
        AgentConfig,
        SourceConfig,
        DeciderConfig,
        SensorConfig,
        ActuatorConfig,
        GuardConfig,
        LoopConfig,
        FleetConfig,
        HealthConfig,
        CaptureStoreConfig,
        ViewConfig,
    )
    keys = {key for section in sections for key in section.__struct_fields__} - {"folder", "options"}
    for table in (sources.KINDS, deciders.KINDS, sensors.KINDS, actuators.KINDS):
        for kind in table:
            assert f"| `{kind}` |" in text
            keys |= set(load_class(kind, table, "", Path()).Options.__struct_fields__)
    assert [key for key in sorted(keys) if f"`{key}`" not in text] == []
