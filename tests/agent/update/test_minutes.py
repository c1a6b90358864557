"""What the uplink says of the machine, once a minute."""

import msgspec

from edge.messages import WindowRow, decode, encode
from edge.statistics import AGE_EDGES_MS, LATENCY_EDGES_US, SCORE_EDGES, count
from edge_agent.uplink.minutes import Minutes
from edge_agent.watch.health import MachineHealth

NOON_S = 1_700_000_040.0
"""Begins a minute."""
COOL = MachineHealth(
    temperature_c=51.0, throttled=(), memory_mib=900, memory_free_mib=400, load=0.5, disk_free_mib=2000
)


def window(version: int = 4, *, latency_us: float = 900.0, decisions: int = 30) -> WindowRow:
    return WindowRow(
        model="light", version=version, span_ms=1000.0, decisions=decisions, unsure=0, labels={"red": decisions},
        scores=tuple(count([0.9] * decisions, SCORE_EDGES).tolist()),
        latency_us=tuple(count([latency_us] * decisions, LATENCY_EDGES_US).tolist()),
        age_ms=tuple(count([5.0] * decisions, AGE_EDGES_MS).tolist()), actions={"stop": decisions},
    )  # fmt: skip


def seconds(minutes: Minutes, rows: list[list[WindowRow]], *, from_s: float = NOON_S) -> list[list[WindowRow]]:
    """A window a second."""
    return [
        minutes.close(windows, version=4, span_s=1.0, wall_s=from_s + second) for second, windows in enumerate(rows)
    ]


def test_one_window_of_each_minute_carries_the_worst_of_the_minute_before() -> None:
    minutes = Minutes("light")
    minutes.look(COOL, heat=0)
    first = seconds(minutes, [[window()]])
    minutes.look(
        msgspec.structs.replace(COOL, temperature_c=84.5, throttled=("throttled",), memory_free_mib=90, load=3.0),
        heat=1,
    )
    minutes.look(msgspec.structs.replace(COOL, throttled=("under-voltage",), disk_free_mib=1500), heat=0)
    rest = seconds(minutes, [[window(latency_us=20_000.0)]] * 60 + [[window()]], from_s=NOON_S + 1)
    told = [row.machine for rows in (*first, *rest) for row in rows]
    assert [place for place, machine in enumerate(told) if machine] == [0, 60]
    last = told[60]
    assert last is not None
    assert (last.temperature_c, last.memory_free_mib, last.disk_free_mib, last.load) == (84.5, 90, 1500, 3.0)
    assert (last.throttled, last.heat) == (("throttled", "under-voltage"), 1)
    assert (last.span_ms, last.decisions) == (60_000.0, 1800)
    assert last.latency_p95_ms is not None
    assert 15 < last.latency_p95_ms < 25


def test_a_minute_begins_with_what_was_seen_last_and_not_with_the_worst_of_the_one_before() -> None:
    minutes = Minutes("light")
    minutes.look(msgspec.structs.replace(COOL, temperature_c=84.5), heat=2)
    minutes.look(COOL, heat=0)
    (first,), (second,) = seconds(minutes, [[window()]]) + seconds(minutes, [[window()]], from_s=NOON_S + 60)
    assert first.machine is not None
    assert second.machine is not None
    assert (first.machine.temperature_c, second.machine.temperature_c) == (84.5, 51.0)
    assert (first.machine.heat, second.machine.heat) == (2, 0)


def test_a_machine_on_which_nothing_is_decided_is_told_by_an_empty_window_once_a_minute() -> None:
    minutes = Minutes("light")
    minutes.look(COOL, heat=0)
    told = [row for rows in seconds(minutes, [[]] * 181) for row in rows]
    assert [(row.decisions, row.version, row.scores, row.span_ms) for row in told] == [(0, 4, (), 1000.0)] * 4
    assert [row.machine is not None and row.machine.latency_p95_ms for row in told] == [None] * 4


def test_without_a_version_or_a_look_nothing_is_told() -> None:
    minutes = Minutes("light")
    assert seconds(minutes, [[window()]]) == [[window()]]
    minutes.look(COOL, heat=0)
    assert minutes.close([], version=0, span_s=1.0, wall_s=NOON_S + 60) == []


def test_a_broken_sensor_is_not_known_and_loses_no_window() -> None:
    minutes = Minutes("light")
    for broken_c in (-300.0, 1e9, float("nan")):
        minutes.look(msgspec.structs.replace(COOL, temperature_c=broken_c), heat=0)
    ((row,),) = seconds(minutes, [[window()]])
    assert row.machine is not None
    assert row.machine.temperature_c is None
    assert decode(WindowRow, encode(row)) == row


def test_a_fleet_that_does_not_know_the_machine_reads_the_window_all_the_same() -> None:
    class OlderWindow(msgspec.Struct, tag="window"):
        """What a fleet of the release before reads."""

        decisions: int
        dropped: int = 0

    minutes = Minutes("light")
    minutes.look(COOL, heat=0)
    ((row,),) = seconds(minutes, [[window()]])
    assert decode(OlderWindow, encode(row)).decisions == 30


def test_windows_cost_nothing_for_it_but_one_a_minute_some_two_hundred_bytes() -> None:
    minutes = Minutes("light")
    minutes.look(msgspec.structs.replace(COOL, throttled=("frequency capped", "throttled")), heat=1)
    (told,), (plain,) = seconds(minutes, [[window()]] * 2)
    assert b"machine" not in encode(plain)
    assert len(encode(told)) - len(encode(plain)) < 300
