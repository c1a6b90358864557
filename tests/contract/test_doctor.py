"""The doctor looks at the real machine, tells a missing part from a broken one, and always says what to do."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edge import doctor


def test_it_examines_this_machine_and_prints_one_object() -> None:
    command = [sys.executable, "-m", "edge.cli", "doctor", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    report = json.loads(done.stdout)
    assert done.returncode == (0 if report["healthy"] else 1)
    assert {f["about"] for f in report["findings"]} >= {
        "python",
        "runtime",
        "extra",
        "environment",
        "broker",
        "sound",
        "clock",
        "names",
        "memory",
    }
    assert {f["name"] for f in report["findings"] if f["about"] == "runtime"} == {
        "litert",
        "onnxruntime",
        "tflite-runtime",
        "ethos-u",
        "rknn",
    }
    assert all(f["do"] for f in report["findings"] if f["state"] == "broken")


def test_a_runtime_that_is_missing_is_a_note_and_one_that_fails_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        "litert": "",
        "onnxruntime": "onnxruntime is not installed",
        "tflite-runtime": "its process ended with -11: ",
        "ethos-u": "the Ethos-U delegate is not installed",
        "rknn": "rknnlite is not installed",
    }
    monkeypatch.setattr(doctor, "probe", answers.__getitem__)
    found = {f.name: f for f in doctor.runtimes()}
    assert [found[name].state for name in answers] == ["ok", "note", "broken", "note", "note"]
    assert "numpy<2" in found["tflite-runtime"].do


def test_a_runtime_that_ends_its_process_is_reported_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.sys, "executable", "/bin/false")
    assert doctor.probe("litert").startswith("its process ended with 1")


def test_a_clock_before_the_installation_is_broken() -> None:
    assert [f.state for f in doctor.clock(now_s=0.0) if f.name == "time"] == ["broken"]
    assert [f.state for f in doctor.clock() if f.name == "time"] == ["ok"]


@pytest.mark.parametrize("stranger", ["fleet/__init__.py", "fleet.py"])
def test_a_foreign_package_with_one_of_our_names_is_broken(tmp_path: Path, stranger: str) -> None:
    (tmp_path / stranger).parent.mkdir(exist_ok=True)
    (tmp_path / stranger).write_text("")
    clash = [f for f in doctor.name_clashes([str(tmp_path)]) if f.name == "fleet"]
    assert [f.state for f in clash] == ["broken"]
    assert str(tmp_path) in clash[0].says


def test_two_opencvs_in_one_folder_are_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    owners = {"cv2": ["opencv-python", "opencv-python-headless"]}
    monkeypatch.setattr(doctor.importlib.metadata, "packages_distributions", lambda: owners)
    clash = next(f for f in doctor.name_clashes([]) if f.name == "cv2")
    assert clash.state == "broken"
    assert clash.do.startswith("pip uninstall -y opencv-python opencv-python-headless && pip install")


def test_extras_are_read_from_the_installed_metadata() -> None:
    lines = [
        "numpy>=1.26",
        "paho-mqtt>=2; extra == 'agent'",
        'tuf>=6 ; extra == "agent"',
        "edgewright[agent]; extra == 'demos'",
    ]
    assert doctor.needed_by_extra(lines) == {"agent": ["paho-mqtt", "tuf"]}


def test_a_machine_without_shared_memory_gets_a_note(tmp_path: Path) -> None:
    assert [f.state for f in doctor.shared_memory(tmp_path / "none")] == ["note"]
