import os
import resource
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from edge.messages import Ack, Batch, Body, DecisionRow, EventRow, WindowRow
from edge_agent.uplink.outbox import BATCH_ROWS, RESEND_S, Outbox, Stamp

STAMP = Stamp(wall_ns=1, mono_ns=2, boot_id="boot", clock_ok=True)


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def event(text: str) -> EventRow:
    return EventRow(kind="test", text=text)


def window() -> WindowRow:
    return WindowRow(
        model="m", version=1, span_ms=1000.0, decisions=1, unsure=0, labels={}, scores=(1,), latency_us=(1,),
        age_ms=(1,), actions={},
    )  # fmt: skip


def decision() -> DecisionRow:
    return DecisionRow(model="m", version=1, frame=1, label="go", score=0.9, action="drive", age_ms=1.0, latency_us=1.0)


def ack(batch: Batch) -> Ack:
    return Ack(outbox_id=batch.outbox_id, first_seq=batch.first_seq, last_seq=batch.last_seq)


def kinds(outbox: Outbox) -> list[str]:
    found = outbox._db.execute("SELECT body FROM rows ORDER BY seq").fetchall()
    return [type(msgspec.json.decode(body, type=Body)).__name__ for (body,) in found]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outbox(tmp_path: Path, clock: Clock) -> Outbox:
    return Outbox(tmp_path / "outbox.sqlite", most_rows=1000, now_s=clock)


def test_a_row_stays_until_it_is_acknowledged(outbox: Outbox, tmp_path: Path) -> None:
    outbox.put([event("one"), event("two")], STAMP)
    again = Outbox(tmp_path / "outbox.sqlite", most_rows=1000)
    (batch,) = again.batches()
    assert [row.seq for row in batch.rows] == [1, 2]
    assert (batch.rows[0].wall_ns, batch.rows[0].mono_ns, batch.rows[0].boot_id, batch.rows[0].clock_ok) == (
        1,
        2,
        "boot",
        True,
    )
    assert again.id == outbox.id
    again.acknowledge(ack(batch))
    assert (again.waiting, again.batches()) == (0, [])


def test_exactly_the_acknowledged_range_is_deleted(outbox: Outbox) -> None:
    outbox.put([event(str(n)) for n in range(250)], STAMP)
    first, second, third = outbox.batches()
    outbox.acknowledge(ack(second))
    assert outbox.waiting == 150
    left = [row for (row,) in outbox._db.execute("SELECT seq FROM rows ORDER BY seq")]
    assert left == [*range(1, 101), *range(201, 251)]
    outbox.acknowledge(ack(second))
    outbox.acknowledge(ack(first))
    outbox.acknowledge(ack(third))
    assert outbox.waiting == 0


def test_an_acknowledgement_for_another_outbox_deletes_nothing(outbox: Outbox) -> None:
    outbox.put([event("one")], STAMP)
    outbox.acknowledge(Ack(outbox_id="other", first_seq=0, last_seq=99))
    assert outbox.waiting == 1


def test_at_most_four_batches_of_a_hundred_rows_are_under_way(outbox: Outbox) -> None:
    outbox.put([event(str(n)) for n in range(900)], STAMP)
    batches = outbox.batches()
    assert [len(batch.rows) for batch in batches] == [BATCH_ROWS] * 4
    assert outbox.batches() == []
    outbox.acknowledge(ack(batches[2]))
    (fifth,) = outbox.batches()
    assert (fifth.first_seq, fifth.last_seq) == (401, 500)


def test_what_is_not_acknowledged_in_time_is_sent_again_under_the_same_numbers(outbox: Outbox, clock: Clock) -> None:
    outbox.put([event("one")], STAMP)
    (batch,) = outbox.batches()
    outbox.put([event("two")], STAMP)
    outbox.batches()
    clock.now_s += RESEND_S
    assert outbox.batches()[0] == batch


def test_after_a_lost_connection_everything_is_sent_again(outbox: Outbox) -> None:
    outbox.put([event("one")], STAMP)
    (batch,) = outbox.batches()
    outbox.line_lost()
    assert outbox.batches() == [batch]


def test_numbers_never_start_again_when_the_outbox_has_been_empty(outbox: Outbox, tmp_path: Path) -> None:
    outbox.put([event("one")], STAMP)
    outbox.acknowledge(ack(outbox.batches()[0]))
    again = Outbox(tmp_path / "outbox.sqlite", most_rows=1000)
    again.put([event("two")], STAMP)
    assert again.batches()[0].first_seq == 2
    assert (again.starts, outbox.starts) == (2, 1)


def test_a_full_outbox_drops_decisions_first_then_windows_and_says_so(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o", most_rows=10)
    outbox.put([event("kept"), window(), window(), window(), decision(), decision(), decision()], STAMP)
    outbox.put([window(), window(), window()], STAMP)
    assert outbox.dropped == 0
    outbox.put([window(), window()], STAMP)
    assert kinds(outbox).count("DecisionRow") == 1
    outbox.put([window() for _ in range(5)], STAMP)
    assert "DecisionRow" not in kinds(outbox)
    assert kinds(outbox)[0] == "EventRow"
    assert outbox.dropped > 2
    assert b"rows were dropped" in outbox._db.execute("SELECT body FROM rows ORDER BY seq DESC").fetchone()[0]


def test_a_full_disk_costs_rows_but_never_the_process(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o", most_rows=1_000_000, most_bytes=200_000)
    for n in range(300):
        outbox.put([decision(), window(), event("x" * 1000 + str(n))], STAMP)
    assert outbox.dropped > 0
    assert outbox.waiting > 0
    assert (tmp_path / "o").stat().st_size <= 200_000
    batches = outbox.batches()
    for batch in batches:
        outbox.acknowledge(ack(batch))
    assert outbox._db.execute("SELECT count(*) FROM rows").fetchone()[0] == outbox.waiting


def test_an_acknowledgement_that_a_full_disk_cannot_take_comes_again(
    outbox: Outbox, clock: Clock, tmp_path: Path
) -> None:
    outbox.put([event("one")], STAMP)
    batch = outbox.batches()[0]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    log_bytes = (tmp_path / "outbox.sqlite-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (log_bytes, before[1]))
    try:
        outbox.acknowledge(ack(batch))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (outbox.waiting, outbox.batches()) == (1, [])
    clock.now_s += RESEND_S
    assert outbox.batches() == [batch]
    outbox.acknowledge(ack(batch))
    assert (outbox.waiting, outbox.batches()) == (0, [])


def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "o"
    path.write_bytes(b"this is no database, it is something else entirely" * 100)
    outbox = Outbox(path, most_rows=10)
    outbox.put([event("one")], STAMP)
    assert outbox.waiting == 1
    assert (tmp_path / "o.damaged").exists()


def test_rows_that_were_stored_survive_a_kill_at_any_moment(tmp_path: Path) -> None:
    path = tmp_path / "o"
    child = (
        "import sys\nfrom pathlib import Path\nfrom edge.messages import EventRow\n"
        "from edge_agent.uplink.outbox import Outbox, Stamp\n"
        "outbox = Outbox(Path(sys.argv[1]), most_rows=10**6)\nn = 0\n"
        "while True:\n"
        "    outbox.put([EventRow(kind='test', text=str(n + i)) for i in range(5)], Stamp(1, 2, 'b', True))\n"
        "    n += 5\n    print(n, flush=True)\n"
    )
    promised = 0
    for _ in range(3):
        before = Outbox(path, most_rows=10**6).waiting
        process = subprocess.Popen([sys.executable, "-c", child, str(path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for _line in range(20):
            promised = before + int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        process.stdout.close()
        process.wait()
        numbers = [n for (n,) in sqlite3.connect(path).execute("SELECT seq FROM rows ORDER BY seq")]
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) >= promised
