"""The JSON Schema of the configuration takes what the agent takes, and refuses what it refuses."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from edge.errors import BadConfigError
from edge_agent import actuators, deciders, sources
from edge_agent.config import load_config
from edge_agent.schema import make_schema

jsonschema: Any = pytest.importorskip("jsonschema")
DOCS = Path(__file__).parents[2] / "docs"
GOOD = """
device: desk-1
model: light
state_dir: state
source: {kind: frames, path: x.npy, fps: 50}
decider: {kind: classify, go: {green: go}, floor: 0.8}
actuators: [{kind: print}, {kind: led, pin: GPIO17, max_age_ms: 150, safe_state: stop}]
guard: {watchdog: /dev/watchdog}
health: {warm_c: 72, thermal: here}
"""


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = make_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_command_prints_the_schema() -> None:
    command = [sys.executable, "-m", "edge.cli", "schema"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == json.loads(msgspec.json.encode(make_schema()))


def test_every_example_of_the_page_is_valid(validator: Any) -> None:
    examples = (DOCS / "agent.md").read_text().split("```yaml\n")[1:]
    whole = [yaml.safe_load(text.partition("```")[0]) for text in examples]
    assert [one for one in whole if "device" in one]
    for one in whole:
        if "device" in one:
            validator.validate(one)


@pytest.mark.parametrize(
    "kinds", [sources.KINDS, deciders.KINDS, actuators.KINDS], ids=["source", "decider", "actuator"]
)
def test_every_kind_is_offered(kinds: dict[str, str]) -> None:
    text = json.dumps(make_schema())
    assert [kind for kind in kinds if f'{{"const": "{kind}"}}' not in text] == []


def test_what_is_good_is_good_for_both(validator: Any, tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text(GOOD)
    load_config(path)
    validator.validate(yaml.safe_load(GOOD))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("fps: 50", "fpss: 50"),
        ("fps: 50", "fps: -1"),
        ("path: x.npy", "device: 0"),
        (", path: x.npy", ""),
        ("{green: go}", "5"),
        ("kind: classify, ", "colour: red, "),
        ("pin: GPIO17", "pins: 1"),
        ("watchdog: /dev/watchdog", "watchdog: 5"),
        ("warm_c: 72", "warm_f: 140"),
        ("model: light", "modell: light"),
        ("model: light\n", ""),
        ("device: desk-1", "device: a/b"),
        ("actuators: [", "actuators: []\nmore: ["),
    ],
)
def test_what_is_bad_is_bad_for_both(validator: Any, tmp_path: Path, old: str, new: str) -> None:
    assert old in GOOD
    text = GOOD.replace(old, new)
    path = tmp_path / "agent.yaml"
    path.write_text(text)
    with pytest.raises(BadConfigError):
        load_config(path)
    assert not validator.is_valid(yaml.safe_load(text))


def test_a_class_of_the_users_own_may_have_any_keys(validator: Any) -> None:
    text = GOOD.replace("kind: frames, path: x.npy", "kind: mine.py:Mine, speed: 2")
    validator.validate(yaml.safe_load(text))
