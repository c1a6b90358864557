"""The read model of the pages, over a real store."""

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from edge.messages import Batch, MachineMinute, Row, UpdateState, UpdateStatus, WindowRow, encode
from fleet.dashboard.reader import HISTORIES, StoreReader
from fleet.store import Store, open_store

MINUTE_NS = 60 * 10**9


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path / 'telemetry.db'}")
    yield opened
    opened.close()


def tell(store: Store, minutes_ago: int, seq: int = 1, device: str = "car-1") -> None:
    """A minute of a machine, as a window of some time ago told it."""
    at_ns = time.time_ns() - minutes_ago * MINUTE_NS
    window = WindowRow(
        model="light", version=1, span_ms=1000.0, decisions=0, unsure=0, labels={}, scores=(), latency_us=(), age_ms=(),
        actions={}, machine=MachineMinute(span_ms=60_000.0, decisions=600, temperature_c=70.0 + minutes_ago),
    )  # fmt: skip
    row = Row(seq=seq, wall_ns=at_ns, mono_ns=0, boot_id="b", clock_ok=True, body=msgspec.Raw(encode(window)))
    store.ingest(device, Batch(outbox_id="o", first_seq=seq, last_seq=seq, rows=(row,)), at_ns)


def switch(store: Store, minutes_ago: int, state: UpdateState) -> None:
    status = UpdateStatus(model="light", version=2, state=state)
    store.add_status("car-1", status, time.time_ns() - minutes_ago * MINUTE_NS)


def test_a_history_holds_what_was_told_and_which_version_took_over_when(store: Store) -> None:
    for number, minutes_ago in enumerate((300, 120, 0), start=1):
        tell(store, minutes_ago, number)
    for minutes_ago, state in ((200, "SWITCHED"), (199, "PROBATION"), (100, "ROLLED_BACK"), (9000, "SWITCHED")):
        switch(store, minutes_ago, state)  # type: ignore[arg-type]
    history = StoreReader(store, lambda: ()).history("car-1", "day")
    assert history is not None
    assert [step.temperature_c for step in history.steps] == [370.0, 190.0, 70.0]
    assert history.steps[-1].step >= history.span.steps - 2  # a step may end while this runs
    assert [text for _, text in history.switches] == ["v2 took over", "v2 rolled back"]
    first, then, now = (step.step for step in history.steps)
    assert first < history.switches[0][0] < then < history.switches[1][0] < now


def test_the_store_is_asked_once_however_many_look_and_no_more_is_held_than_a_few(store: Store) -> None:
    reader = StoreReader(store, lambda: ())
    for number in range(HISTORIES + 5):
        tell(store, 0, device=f"car-{number}")
        assert reader.history(f"car-{number}", "hour") is reader.history(f"car-{number}", "hour")
    assert len(reader._histories) == HISTORIES
    assert reader.history("car-1", "hour") is not reader.history("car-1", "week")


def test_a_device_that_nobody_knows_has_no_history(store: Store) -> None:
    assert StoreReader(store, lambda: ()).history("nobody", "day") is None
