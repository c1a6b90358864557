"""Results go to stdout, the rest to stderr, and the journal learns how important each line is."""

import io
import json
import logging
import os
import subprocess
import sys

import pytest

from edge import console
from edge.messages import Ack


@pytest.fixture(autouse=True)
def restore_logging() -> object:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield None
    root.handlers[:], root.level = before
    console.setup.__globals__["_verbosity"] = 0


def test_a_result_is_one_object_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    console.emit(Ack(outbox_id="o", first_seq=1, last_seq=2), True, "ignored")
    out, err = capsys.readouterr()
    assert json.loads(out) == {"outbox_id": "o", "first_seq": 1, "last_seq": 2}
    assert err == ""
    console.emit({}, False, lambda: "for people")
    assert capsys.readouterr().out == "for people\n"


def test_words_to_a_person_go_to_stderr_unless_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    console.setup(0)
    console.say("hello")
    assert capsys.readouterr() == ("", "hello\n")
    console.setup(-1)
    console.say("hello")
    assert capsys.readouterr() == ("", "")


def test_progress_is_silent_when_stderr_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress("working", total=3) as advance:
        advance()
        advance(2)
    assert capsys.readouterr() == ("", "")


def test_progress_draws_on_a_terminal_and_leaves_stdout_alone() -> None:
    code = "from edge import console\nwith console.progress('working', 2) as go: go(); go()\nprint('result')"
    leader, follower = os.openpty()
    done = subprocess.run([sys.executable, "-c", code], stderr=follower, stdout=subprocess.PIPE, check=True)
    os.close(follower)
    assert done.stdout == b"result\n"
    assert b"working" in os.read(leader, 65536)
    os.close(leader)


def test_log_lines_carry_a_priority_under_journald_and_none_elsewhere() -> None:
    code = (
        "import logging, os, sys; s = os.fstat(2);"
        "os.environ['JOURNAL_STREAM'] = f'{s.st_dev}:{s.st_ino + int(sys.argv[1])}';"
        "from edge import console; console.setup(1); logging.getLogger('agent').warning('two\\nlines');"
        "logging.getLogger('agent').info('fine')"
    )
    run = [
        subprocess.run([sys.executable, "-c", code, other], capture_output=True, text=True, check=True)
        for other in "01"
    ]
    assert run[0].stderr == "<4>agent: two\n<4>lines\n<6>agent: fine\n"
    assert run[1].stderr == "WARNING agent: two\nlines\nINFO agent: fine\n"


def test_quiet_logs_errors_only(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    console.setup(-1)
    logging.getLogger("x").warning("no")
    logging.getLogger("x").error("yes")
    assert stream.getvalue() == "ERROR x: yes\n"


def test_a_table_is_aligned_plain_text() -> None:
    assert console.table(("name", "n"), [("a", "10"), ("longer", "2")]) == "name    n\na       10\nlonger  2"
