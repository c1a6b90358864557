"""The telemetry database, on SQLite and on a PostgreSQL of this test's own."""

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from edge.errors import BadConfigError, FleetError
from edge.messages import (
    Batch,
    Body,
    DecisionRow,
    EventRow,
    MachineMinute,
    ModelReport,
    Presence,
    Reported,
    Row,
    UpdateState,
    UpdateStatus,
    WindowRow,
)
from edge.statistics import AGE_EDGES_MS, LATENCY_EDGES_US, SCORE_EDGES
from fleet.store import Store, Telemetry, Unreadable, is_news, open_store
from fleet.store_machines import MachineStep, MinuteSpan

NS = 10**9
OUTBOX = "0123456789abcdef"


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "sqlite":
        opened = open_store(f"sqlite:///{tmp_path / 'telemetry.db'}")
        yield opened
        opened.close()
        return
    opened = open_store(request.getfixturevalue("postgres_url"))
    yield opened
    from fleet.store_tables import metadata

    metadata.drop_all(opened._engine)
    opened.close()


def window(version: int = 1, *, label: str = "red", score_bin: int = 15, n: int = 10) -> WindowRow:
    return WindowRow(
        model="light",
        version=version,
        span_ms=1000.0,
        decisions=n,
        unsure=1,
        labels={label: n},
        scores=tuple(n if i == score_bin else 0 for i in range(len(SCORE_EDGES) + 1)),
        latency_us=tuple(n if i == 50 else 0 for i in range(len(LATENCY_EDGES_US) + 1)),
        age_ms=tuple(n if i == 40 else 0 for i in range(len(AGE_EDGES_MS) + 1)),
        actions={"stop": n},
        dropped=2,
        max_gap_ms=120.0,
    )


DECISION = DecisionRow(
    model="light", version=1, frame=7, label="red", score=0.97, action="stop", age_ms=12.5, latency_us=900.0
)
EVENT = EventRow(kind="fault", text="capture ended and was started again", model="light", version=1)


def batch(*bodies: Body | bytes, first: int = 1, outbox: str = OUTBOX) -> Batch:
    rows = tuple(
        Row(
            seq=first + i,
            wall_ns=1_700_000_000 * NS,
            mono_ns=NS,
            boot_id="b",
            clock_ok=True,
            body=msgspec.Raw(body if isinstance(body, bytes) else msgspec.json.encode(body)),
        )
        for i, body in enumerate(bodies)
    )
    return Batch(outbox_id=outbox, first_seq=first, last_seq=first + len(rows) - 1, rows=rows)


def test_a_batch_sent_twice_is_in_the_table_once_and_acknowledged_twice(store: Store) -> None:
    sent = batch(window(), DECISION, EVENT)
    acks = [store.ingest("car-1", sent, 5 * NS), store.ingest("car-1", sent, 6 * NS)]
    assert [(ack.outbox_id, ack.first_seq, ack.last_seq) for ack in acks] == [(OUTBOX, 1, 3)] * 2
    counts = store.counts()
    assert (counts["windows"], counts["decisions"], counts["events"]) == (1, 1, 1)


def test_scores_of_the_model_itself_are_added_up_beside_those_of_its_decider(store: Store) -> None:
    own = msgspec.structs.replace(window(), model_scores=(10,) + (0,) * len(SCORE_EDGES))
    older = msgspec.json.encode(window()).replace(b'"model_scores":[],', b"")
    assert b"model_scores" not in older
    store.ingest("car-1", batch(own, own, older), 5 * NS)
    (sums,) = store.observe("light", 1, None, 0, 9 * NS).values()
    assert (sum(sums.scores), sum(sums.model_scores), sums.model_scores[0]) == (30, 20, 20)


def test_a_database_of_an_older_release_gets_the_columns_it_lacks_and_keeps_its_rows(store: Store) -> None:
    store.ingest("car-1", batch(window()), 5 * NS)
    with store._engine.begin() as link:
        link.execute(sa.text("ALTER TABLE windows DROP COLUMN model_scores"))
    again = open_store(store._engine.url.render_as_string(hide_password=False))
    again.ingest("car-1", batch(msgspec.structs.replace(window(), model_scores=(9,) * 18), first=2), 5 * NS)
    (sums,) = again.observe("light", 1, None, 0, 9 * NS).values()
    again.close()
    assert (sums.windows, sum(sums.scores), sums.model_scores) == (2, 20, (9,) * 18)


def test_the_same_numbers_of_another_outbox_or_device_are_other_rows(store: Store) -> None:
    store.ingest("car-1", batch(EVENT), NS)
    store.ingest("car-1", batch(EVENT, outbox="another"), NS)
    store.ingest("car-2", batch(EVENT), NS)
    assert store.counts()["events"] == 3
    assert store.identities("events", "car-1") == [("0123456789abcdef", 1), ("another", 1)]


MINUTE = 1_700_000_000 // 60
"""Of the wall clock of `batch`."""
HOT = MachineMinute(
    span_ms=60_000.0, decisions=1800, latency_p95_ms=31.5, temperature_c=84.0, throttled=("throttled",),
    memory_mib=900, memory_free_mib=120, load=3.5, disk_free_mib=900, heat=1,
)  # fmt: skip

BAD_ROWS = {
    "not JSON": b'"half',
    "no known kind": b'{"type":"wish"}',
    "a version of zero": msgspec.json.encode(window()).replace(b'"version":1', b'"version":0'),
    "a histogram with too few bins": msgspec.json.encode(window()).replace(b'"scores":[0,', b'"scores":['),
    "scores of the model in too few bins": msgspec.json.encode(
        msgspec.structs.replace(window(), model_scores=(1, 2, 3))
    ),
    "a count that would overflow": msgspec.json.encode(window(n=10**12)),
    "a machine hotter than the sun": msgspec.json.encode(
        msgspec.structs.replace(window(), machine=msgspec.structs.replace(HOT, temperature_c=6000.0))
    ),
    "a minute with more decisions than a database can add up": msgspec.json.encode(
        msgspec.structs.replace(window(), machine=msgspec.structs.replace(HOT, decisions=2**52))
    ),
    "a hundred labels": msgspec.json.encode(window()).replace(
        b'"labels":{"red":10}', b'"labels":' + msgspec.json.encode({f"l{i}": 1 for i in range(100)})
    ),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_is_quarantined_and_acknowledged_with_its_good_neighbours(store: Store, name: str) -> None:
    ack = store.ingest("car-1", batch(EVENT, BAD_ROWS[name], DECISION), NS)
    assert (ack.first_seq, ack.last_seq) == (1, 3)
    assert store.identities("quarantine", "car-1") == [(OUTBOX, 2)]
    assert (store.counts()["events"], store.counts()["decisions"]) == (1, 1)
    (bad,) = store.quarantined(10)
    assert bad.origin == "car-1"
    assert bad.reason


def test_a_row_outside_its_batch_is_not_believed(store: Store) -> None:
    sent = batch(EVENT, EVENT)
    store.ingest("car-1", msgspec.structs.replace(sent, last_seq=1), NS)
    assert store.identities("events", "car-1") == [(OUTBOX, 1)]
    assert store.identities("quarantine", "car-1") == [(OUTBOX, 2)]


def test_text_that_a_database_refuses_does_not_hold_up_a_queue(store: Store) -> None:
    nasty = EventRow(kind="fault", text="zero \0 byte, quote ' and \U0001f6a6", model="m'; DROP TABLE events; --")
    store.ingest("car-1", batch(nasty), NS)
    (event,) = store.events(5)
    assert event.text == "zero  byte, quote ' and \U0001f6a6"


def test_sums_of_windows_go_by_the_fleets_clock_and_by_version(store: Store) -> None:
    store.ingest("car-1", batch(window(1), window(1, label="green"), window(2), first=1), 10 * NS)
    store.ingest("car-1", batch(window(1), first=10), 20 * NS)
    store.ingest("car-2", batch(window(1)), 10 * NS)
    seen = store.observe("light", 1, ["car-1"], 10 * NS, 20 * NS)
    assert set(seen) == {"car-1"}
    one = seen["car-1"]
    assert (one.windows, one.decisions, one.unsure, one.dropped) == (2, 20, 2, 4)
    assert (one.span_ms, one.max_gap_ms) == (2000.0, 120.0)
    assert one.labels == {"red": 10, "green": 10}
    assert one.actions == {"stop": 20}
    assert sum(one.scores) == sum(one.latency_us) == sum(one.age_ms) == 20
    assert len(one.scores) == len(SCORE_EDGES) + 1
    everybody = store.observe("light", 1, None, 0, 99 * NS)
    assert {device: o.windows for device, o in everybody.items()} == {"car-1": 3, "car-2": 1}


def test_what_a_device_does_now_is_the_newest_of_each(store: Store) -> None:
    store.ingest("car-1", batch(window(1), DECISION), 10 * NS)
    store.ingest("car-1", batch(window(2), msgspec.structs.replace(DECISION, frame=8), first=3), 11 * NS)
    pulse = store.pulse(5 * NS, 12 * NS)["car-1"]
    assert (pulse.version, pulse.sums.windows) == (2, 1)
    assert store.latest_decisions(0)["car-1"].frame == 8
    assert [d.frame for d in store.decisions("car-1", 5)] == [8, 7]
    assert [w.version for w in store.windows("car-1", 0, 5)] == [1, 2]


def minute(said: MachineMinute, first: int, *, at_s: float = 60 * MINUTE, clock_ok: bool = True) -> Batch:
    """One window that tells a minute, at `at_s` of the device's clock."""
    sent = batch(msgspec.structs.replace(window(), machine=said), first=first)
    rows = tuple(msgspec.structs.replace(row, wall_ns=int(at_s * NS), clock_ok=clock_ok) for row in sent.rows)
    return msgspec.structs.replace(sent, rows=rows)


def test_a_minute_of_the_machine_that_is_sent_twice_is_in_the_table_once(store: Store) -> None:
    sent, at_ns = minute(HOT, 1), (60 * MINUTE + 5) * NS
    for received_ns in (at_ns, at_ns + 90 * NS):
        store.ingest("car-1", sent, received_ns)
    store.ingest("car-2", sent, at_ns)
    assert store.identities("machines", "car-1") == store.identities("windows", "car-1") == [(OUTBOX, 1)]
    (step,) = store.machine("car-1", MinuteSpan(MINUTE, 1, 1))
    assert step == MachineStep(
        step=0, minutes=1, throttled=1, ways="throttled", spared=1, span_ms=60_000.0, decisions=1800,
        latency_p95_ms=31.5, temperature_c=84.0, memory_mib=900, memory_free_mib=120, load=3.5, disk_free_mib=900,
    )  # fmt: skip


def test_a_device_that_tells_its_machine_each_second_gets_one_row_a_minute(store: Store) -> None:
    for second in range(120):
        at_s = 60 * MINUTE + second
        store.ingest("car-1", minute(HOT, 1 + second, at_s=at_s), int(at_s * NS))
    assert (store.counts()["machines"], store.counts()["windows"]) == (2, 120)


def test_a_step_of_history_is_the_worst_of_its_minutes_and_one_without_any_is_absent(store: Store) -> None:
    cool = MachineMinute(span_ms=60_000.0, decisions=600, temperature_c=51.0, memory_free_mib=400, disk_free_mib=90)
    silent = MachineMinute(span_ms=60_000.0, decisions=0)
    for number, (said, at) in enumerate(((cool, 0), (HOT, 4), (silent, 10))):
        at_s = 60 * (MINUTE + at)
        store.ingest("car-1", minute(said, 1 + number, at_s=at_s), at_s * NS)
    steps = store.machine("car-1", MinuteSpan(MINUTE, 3, 5))
    assert [(s.step, s.minutes, s.throttled, s.decisions) for s in steps] == [(0, 2, 1, 2400), (2, 1, 0, 0)]
    assert (steps[0].temperature_c, steps[0].memory_free_mib, steps[0].disk_free_mib) == (84.0, 120, 90)
    assert (steps[1].temperature_c, steps[1].latency_p95_ms, steps[1].disk_free_mib) == (None, None, None)
    assert store.machine("car-1", MinuteSpan(MINUTE + 11, 3, 5)) == []


def test_what_waited_on_the_device_lies_where_it_happened_unless_its_clock_cannot_be_right(store: Store) -> None:
    now_s, hour = 60 * MINUTE + 86400, 60
    store.ingest("car-1", minute(HOT, 1, at_s=now_s - 3600), now_s * NS)
    store.ingest("car-1", minute(HOT, 2, at_s=now_s - 7200, clock_ok=False), now_s * NS)
    store.ingest("car-2", minute(HOT, 1, at_s=now_s + 86400), now_s * NS)
    store.ingest("car-2", minute(HOT, 2, at_s=5), (now_s + 60) * NS)
    last_day = MinuteSpan(now_s // 60 - 24 * hour + 1, 24 * hour, 1)
    assert [24 * hour - 1 - s.step for s in store.machine("car-1", last_day)] == [hour, 0]
    assert [24 * hour - 1 - s.step for s in store.machine("car-2", MinuteSpan(last_day.since + 1, 24 * hour, 1))] == [
        1,
        0,
    ]


def test_a_database_of_a_release_without_machines_gets_the_table_when_it_is_opened(
    store: Store, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    from fleet.store_tables import machines

    store.ingest("car-1", batch(window()), NS)
    machines.drop(store._engine)
    is_sqlite = store._engine.dialect.name == "sqlite"
    url = f"sqlite:///{tmp_path / 'telemetry.db'}" if is_sqlite else request.getfixturevalue("postgres_url")
    opened = open_store(url)
    opened.ingest("car-1", minute(HOT, 5), 60 * MINUTE * NS)
    assert (opened.counts()["windows"], opened.counts()["machines"]) == (2, 1)
    opened.close()


def test_a_window_of_an_agent_that_says_nothing_of_its_machine_is_a_window_all_the_same(store: Store) -> None:
    older = msgspec.json.encode(window())
    assert b"machine" not in older
    store.ingest("car-1", batch(older), NS)
    assert (store.counts()["windows"], store.counts()["machines"]) == (1, 0)


def test_a_will_of_an_older_session_does_not_bury_a_device_that_is_back(store: Store) -> None:
    def say(session: int, *, online: bool, boot: str = "boot-a") -> bool:
        store.set_presence("car-1", Presence(online=online, boot_id=boot, session=session), NS)
        return store.devices()[0].online

    assert say(5, online=True)
    assert not say(5, online=False)
    assert say(6, online=True)
    assert say(5, online=False)  # the will of session 5 comes late
    assert say(0, online=True, boot="boot-b")  # the counter began again, with a new boot
    assert not say(0, online=False, boot="boot-b")


def test_news_is_never_older_than_what_is_known() -> None:
    known = Presence(online=True, boot_id="a", session=5)
    assert not is_news(known, Presence(online=False, boot_id="a", session=4))
    assert not is_news(known, Presence(online=True, boot_id="a", session=4))
    assert is_news(known, Presence(online=False, boot_id="a", session=5))
    assert is_news(None, Presence(online=False, boot_id="a", session=0))


def test_a_report_that_comes_again_unchanged_keeps_its_time(store: Store) -> None:
    def report(state: UpdateState, at_s: int) -> int:
        models = {"light": ModelReport(version=1, state=state, attempted=2, reason="X: y")}
        store.set_reported("car-1", Reported(models=models, target="pi", agent="0.1"), at_s * NS)
        view = store.devices()[0]
        assert (view.target, view.agent, view.seen_ns) == ("pi", "0.1", at_s * NS)
        assert view.report("light").state == state
        return view.changed_ns["light"] // NS

    assert [report("COMMITTED", 1), report("COMMITTED", 2), report("FAILED", 3), report("FAILED", 4)] == [1, 1, 3, 3]
    store.set_reported("car-1", Reported(models={}), 5 * NS)
    assert store.devices()[0].models == {}


def test_steps_of_updates_and_whole_bad_messages_are_kept_for_people(store: Store) -> None:
    store.add_status("car-1", UpdateStatus(model="light", version=2, state="DOWNLOADING"), NS)
    store.add_status(
        "car-1", UpdateStatus(model="light", version=2, state="FAILED", reason="DISK_FULL: no room"), 2 * NS
    )
    store.commit([Unreadable("edge/v1/x", "not JSON", b"\xff\x00", 3 * NS)])
    assert [(u.state, u.version) for u in store.updates(5, "car-1")] == [("FAILED", 2), ("DOWNLOADING", 2)]
    assert [bad.origin for bad in store.quarantined(5)] == ["edge/v1/x"]


def test_old_rows_are_forgotten_and_new_ones_kept(store: Store) -> None:
    day = 86400 * NS
    for age in (40, 31, 29, 0):
        told = msgspec.structs.replace(window(), machine=HOT)
        store.ingest("car-1", batch(told, DECISION, EVENT, b"{}", first=1 + 10 * age), (100 - age) * day)
    assert store.forget(30, 100 * day) == 10
    counts = store.counts()
    assert {counts[name] for name in ("windows", "decisions", "events", "machines", "quarantine")} == {2}
    assert store.forget(30, 100 * day) == 0


def test_several_writers_with_the_same_batches_in_any_order_store_each_row_once(store: Store) -> None:
    batches = [batch(*[window() for _ in range(5)], DECISION, first=1 + 6 * i) for i in range(30)]
    errors: list[Exception] = []

    def write(seed: int) -> None:
        mine = batches[:]
        random.Random(seed).shuffle(mine)
        try:
            for start in range(0, len(mine), 5):
                store.commit([Telemetry("car-1", each, NS) for each in mine[start : start + 5]])
        except Exception as exc:  # noqa: BLE001
            errors.append(exc)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    assert store.counts()["windows"] == 150
    assert [seq for _, seq in store.identities("decisions", "car-1")] == [6 * (i + 1) for i in range(30)]


def test_an_impossible_url_says_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(BadConfigError, match="sqlite:///FILE"):
        open_store("nonsense")
    with pytest.raises(BadConfigError, match="sqlite:///FILE"):
        open_store("mongo://x")
    with pytest.raises(FleetError, match=r"edge:\*\*\*@127.0.0.1:1/none") as caught:
        open_store("postgresql+psycopg://edge:secretword@127.0.0.1:1/none?connect_timeout=1")
    assert "secretword" not in str(caught.value)
    (tmp_path / "file").write_text("")
    with pytest.raises(FleetError, match="folder exists"):
        open_store(f"sqlite:///{tmp_path}/file/x.db")
