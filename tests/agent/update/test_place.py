"""Where the outbox lies: what stays of it, and that a new one is nobody else's."""

import shutil
from pathlib import Path

from edge.messages import EventRow
from edge_agent.uplink.outbox import Stamp
from edge_agent.uplink.place import open_outbox

STAMP = Stamp(wall_ns=1, mono_ns=2, boot_id="boot", clock_ok=True)


def test_on_disk_everything_stays(tmp_path: Path) -> None:
    first, starts = open_outbox(tmp_path, most_rows=10, in_memory=False)
    first.put([EventRow(kind="test", text="one")], STAMP)
    second, again = open_outbox(tmp_path, most_rows=10, in_memory=False)
    assert (second.id, second.waiting) == (first.id, 1)
    assert (starts, again) == (1, 2)


def test_in_memory_rows_outlive_the_process_but_not_the_agent_and_starts_go_on(tmp_path: Path) -> None:
    first, starts = open_outbox(tmp_path, most_rows=10, in_memory=True)
    first.put([EventRow(kind="test", text="one")], STAMP)
    second, again = open_outbox(tmp_path, most_rows=10, in_memory=True)
    assert (second.id, second.waiting) == (first.id, 1)
    shutil.rmtree(tmp_path / "run")  # as the end of the agent, or a reboot
    third, after = open_outbox(tmp_path, most_rows=10, in_memory=True)
    assert third.id != first.id
    assert third.waiting == 0
    assert (starts, again, after) == (1, 2, 3)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["run", "starts"]


def test_a_count_of_starts_that_cannot_be_read_begins_again(tmp_path: Path) -> None:
    (tmp_path / "starts").write_text("\0")
    assert open_outbox(tmp_path, most_rows=10, in_memory=True)[1] == 1
