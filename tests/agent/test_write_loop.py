"""Chosen settings in a configuration file, and everything else in it as it was."""

import stat
from pathlib import Path

import pytest

from edge.errors import BadConfigError
from edge_agent.config import LoopConfig, load_config
from edge_agent.edit_loop import edit_loop, loop_line
from edge_agent.write_loop import check_writable, write_loop

HEAD = """\
# the robot at the door
device: desk-1
model: light   # see the fleet
state_dir: state
source: {kind: synthetic, fps: 30}
decider: {kind: classify, go: [green]}
actuators:
  - {kind: print}   # no wires yet
"""
CHOSEN = LoopConfig(threads=2, cpu=3, rehearse_ms=0.8)
PLAIN = LoopConfig()

CASES = {
    "no loop": ("", "loop: {threads: 2, cpu: 3, rehearse_ms: 0.8}\n"),
    "braces": (
        "loop: {hang_s: 5, cpu: 1}  # fast\n",
        "loop: {hang_s: 5, cpu: 3, threads: 2, rehearse_ms: 0.8}  # fast\n",
    ),
    "empty braces": ("loop: {}\n", "loop: {threads: 2, cpu: 3, rehearse_ms: 0.8}\n"),
    "nothing": ("loop:\n", "loop: {threads: 2, cpu: 3, rehearse_ms: 0.8}\n"),
    "nothing but a comment": ("loop:  # later\n", "loop: {threads: 2, cpu: 3, rehearse_ms: 0.8}  # later\n"),
    "null": ("loop: null\n", "loop: {threads: 2, cpu: 3, rehearse_ms: 0.8}\n"),
    "lines": (
        "loop:\n  # longer than any\n  hang_s: 5  # s\n  threads: 1  # one\n\n# end\n",
        "loop:\n  # longer than any\n  hang_s: 5  # s\n  threads: 2  # one\n  cpu: 3\n  rehearse_ms: 0.8\n\n# end\n",
    ),
    "a key without a value": ("loop:\n  cpu:\n", "loop:\n  cpu: 3\n  threads: 2\n  rehearse_ms: 0.8\n"),
    "what is not chosen goes back": (
        "loop:\n  priority: 50  # root\n  rehearse_inference: true\n",
        "loop:\n  priority: null  # root\n  rehearse_inference: false\n  threads: 2\n  cpu: 3\n  rehearse_ms: 0.8\n",
    ),
    "braces over lines": (
        "loop: {\n  hang_s: 5, # s\n  start_s: 9 # s\n}\n",
        "loop: {\n  hang_s: 5, # s\n  start_s: 9, threads: 2, cpu: 3, rehearse_ms: 0.8 # s\n}\n",
    ),
    "more behind it": (
        "loop:\n    threads: 1\nview: {}\n",
        "loop:\n    threads: 2\n    cpu: 3\n    rehearse_ms: 0.8\nview: {}\n",
    ),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agent.yaml"


@pytest.mark.parametrize(("before", "after"), CASES.values(), ids=CASES)
def test_only_the_settings_change_and_the_file_loads(path: Path, before: str, after: str) -> None:
    path.write_text(HEAD + before)
    old = load_config(path).loop
    write_loop(path, CHOSEN)
    assert path.read_text() == HEAD + after
    loop = load_config(path).loop
    assert loop == LoopConfig(threads=2, cpu=3, rehearse_ms=0.8, hang_s=old.hang_s, start_s=old.start_s)
    assert [file.name for file in path.parent.iterdir()] == ["agent.yaml"]


@pytest.mark.parametrize(("before", "after"), CASES.values(), ids=CASES)
def test_the_ends_of_lines_stay_those_of_another_system(path: Path, before: str, after: str) -> None:
    path.write_bytes((HEAD + before).replace("\n", "\r\n").encode())
    write_loop(path, CHOSEN)
    assert path.read_bytes() == (HEAD + after).replace("\n", "\r\n").encode()


@pytest.mark.parametrize(("before", "after"), CASES.values(), ids=CASES)
def test_a_last_line_without_an_end_is_a_line(before: str, after: str) -> None:
    assert edit_loop((HEAD + before).rstrip("\n"), CHOSEN, "agent.yaml").rstrip("\n") == (HEAD + after).rstrip("\n")


def test_writing_the_same_again_changes_nothing(path: Path) -> None:
    path.write_text(HEAD)
    write_loop(path, CHOSEN)
    once = path.read_text()
    write_loop(path, CHOSEN)
    assert path.read_text() == once


def test_a_file_in_json_stays_json(path: Path) -> None:
    text = '{"device": "a", "model": "light", "state_dir": "s", "source": {"kind": "synthetic"}, "decider": '
    text += '{"kind": "classify", "go": ["green"]}, "actuators": [{"kind": "print"}]}\n'
    path.write_text(text)
    write_loop(path, CHOSEN)
    assert path.read_text() == text.replace("]}\n", '], "loop": {"threads": 2, "cpu": 3, "rehearse_ms": 0.8}}\n')
    write_loop(path, PLAIN)
    assert load_config(path).loop == PLAIN


def test_letters_of_every_language_and_indented_files_are_no_hindrance(path: Path) -> None:
    text = "".join(f"  {line}\n" for line in HEAD.replace("at the door", "an der Tür 🚪").splitlines())
    path.write_text(text, encoding="utf-8")
    write_loop(path, CHOSEN)
    assert path.read_text(encoding="utf-8") == f"{text}  loop: {{threads: 2, cpu: 3, rehearse_ms: 0.8}}\n"


def test_a_document_with_an_end_is_edited_before_it(path: Path) -> None:
    path.write_text(f"---\n{HEAD}loop:\n  hang_s: 5\n...\n# the end\n")
    write_loop(path, CHOSEN)
    assert path.read_text() == (
        f"---\n{HEAD}loop:\n  hang_s: 5\n  threads: 2\n  cpu: 3\n  rehearse_ms: 0.8\n...\n# the end\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        HEAD.replace("fps: 30", "fps: &n 30") + "loop: {start_s: 9, threads: *n}\n",
        HEAD.replace("{kind: synthetic", "&s {kind: synthetic") + "loop: &l {threads: 1}\nview: *l\n",
        HEAD + "...\n",
    ],
    ids=["an alias in it", "an alias of it", "nothing may follow"],
)
def test_a_file_that_cannot_be_edited_without_harm_is_left_alone(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(BadConfigError, match="without changing something else"):
        check_writable(path)
    with pytest.raises(BadConfigError) as refused:
        write_loop(path, CHOSEN)
    assert refused.value.remedy == "write it yourself: loop: {threads: 2, cpu: 3, rehearse_ms: 0.8}"
    assert path.read_text() == text


def test_mode_and_link_of_the_file_stay(path: Path) -> None:
    path.write_text(HEAD)
    path.chmod(0o640)
    link = path.with_name("link.yaml")
    link.symlink_to(path)
    check_writable(link)
    write_loop(link, CHOSEN)
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert load_config(path).loop.cpu == 3


def test_the_line_leaves_out_what_is_as_it_comes() -> None:
    assert loop_line(PLAIN) == "loop: {threads: 1}"
    assert loop_line(LoopConfig(priority=50, rehearse_ms=0.8, rehearse_inference=True)) == (
        "loop: {threads: 1, priority: 50, rehearse_ms: 0.8, rehearse_inference: true}"
    )
