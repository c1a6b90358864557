"""Where the outbox lies: what stays of it, and that a new one is nobody else's."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from edge.messages import EventRow
from edge_agent.power_cut import PowerCutDisk
from edge_agent.uplink.outbox import Outbox, Stamp
from edge_agent.uplink.outboxes import Outboxes
from edge_agent.uplink.place import count_start, open_outbox

STAMP = Stamp(wall_ns=1, mono_ns=2, boot_id="boot", clock_ok=True)


def sent(outboxes: Outboxes) -> list[tuple[str, int]]:
    """Identity and number of every row that goes out on a new connection."""
    outboxes.line_lost()
    return [(batch.outbox_id, row.seq) for batch in outboxes.batches() for row in batch.rows]


def test_on_disk_everything_stays(tmp_path: Path) -> None:
    first, starts = open_outbox(tmp_path, most_rows=10, keeping="disk")
    first.put([EventRow(kind="test", text="one")], STAMP)
    second, again = open_outbox(tmp_path, most_rows=10, keeping="disk")
    assert (sent(second), second.waiting) == (sent(first), 1)
    assert (starts, again) == (1, 2)


def test_in_memory_rows_outlive_the_process_but_not_the_agent_and_starts_go_on(tmp_path: Path) -> None:
    first, starts = open_outbox(tmp_path, most_rows=10, keeping="memory")
    first.put([EventRow(kind="test", text="one")], STAMP)
    second, again = open_outbox(tmp_path, most_rows=10, keeping="memory")
    assert (sent(second), second.waiting) == (sent(first), 1)
    shutil.rmtree(tmp_path / "run")  # as the end of the agent, or a reboot
    third, after = open_outbox(tmp_path, most_rows=10, keeping="memory")
    third.put([EventRow(kind="test", text="two")], STAMP)
    assert {identity for identity, _ in sent(third)}.isdisjoint({identity for identity, _ in sent(first)})
    assert third.waiting == 1
    assert (starts, again, after) == (1, 2, 3)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["run", "starts"]


def test_a_count_of_starts_that_cannot_be_read_begins_again(tmp_path: Path) -> None:
    (tmp_path / "starts").write_text("\0")
    assert open_outbox(tmp_path, most_rows=10, keeping="memory")[1] == 1


def test_what_was_kept_on_disk_is_taken_along_and_starts_go_on(tmp_path: Path) -> None:
    disk, _ = open_outbox(tmp_path, most_rows=10, keeping="disk")
    disk.put([EventRow(kind="test", text="one")], STAMP)
    before = sent(disk)
    spilling, starts = open_outbox(tmp_path, most_rows=10, keeping="spill")
    assert sent(spilling) == before
    assert starts == 2
    assert not list(tmp_path.glob("outbox.sqlite*"))
    back, after = open_outbox(tmp_path, most_rows=10, keeping="disk")
    assert sent(back) == before
    assert after == 3


@pytest.mark.parametrize("ends_in_order", [True, False])
def test_an_outbox_whose_disk_is_full_lies_in_memory_until_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends_in_order: bool
) -> None:
    def without_room(path: Path, **options: Any) -> Outbox:
        return Outbox(path, **options | ({"most_bytes": 4096} if path.parent == tmp_path else {}))

    monkeypatch.setattr("edge_agent.uplink.place.Outbox", without_room)  # SQLite finds no room for its tables
    full, starts = open_outbox(tmp_path, most_rows=10, keeping="disk")
    full.put([EventRow(kind="test", text="in memory")], STAMP)
    before = sent(full)
    if ends_in_order:
        full.spill()
        shutil.rmtree(tmp_path / "run")
    monkeypatch.undo()  # room was made
    after, again = open_outbox(tmp_path, most_rows=10, keeping="disk")
    after.put([EventRow(kind="test", text="on disk")], STAMP)
    assert len(before) == 1
    assert before[0] in sent(after)
    assert (after.waiting, starts, again) == (2, 1, 2)


def test_starts_are_counted_on_a_disk_that_is_full(tmp_path: Path) -> None:
    file = tmp_path / "starts"
    roomy = PowerCutDisk(tmp_path)
    assert [count_start(roomy, file, at_least=0) for _ in range(9)] == list(range(1, 10))
    full = PowerCutDisk(tmp_path, found=dict(roomy.content()), capacity_bytes=20)
    assert [count_start(full, file, at_least=0) for _ in range(3)] == [10, 11, 12]
    new = PowerCutDisk(tmp_path, capacity_bytes=0)
    assert count_start(new, file, at_least=4) == 4
