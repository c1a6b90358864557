"""What the pages draw, as text: no browser needed. The pages in Chromium: test_dashboard_pages.py."""

import dataclasses
import re
import time

from edge.messages import ModelReport
from edge.statistics import AGE_EDGES_MS, LATENCY_EDGES_US, SCORE_EDGES, count
from fleet.dashboard.charts import Line, line_chart, shares
from fleet.dashboard.device_view import device_view
from fleet.dashboard.events_view import events_view
from fleet.dashboard.fleet_view import fleet_view
from fleet.dashboard.history_view import REACHES, history_view, span_of
from fleet.dashboard.model import Decision, DevicePage, Event, FleetPage, History, Point, every_second
from fleet.dashboard.rollout_view import rollout_panel
from fleet.plan import Plan
from fleet.rollout_state import Gate, RolloutState, Tally, Wave
from fleet.store_machines import MachineStep
from fleet.views import DeviceView

NOW_S = 1_000_000.0
HOSTILE = "<script>alert(1)</script>"


def point(at_s: float, age_ms: float = 4.0) -> Point:
    return Point(
        at_s=at_s,
        version=3,
        span_ms=1000.0,
        decisions=30,
        unsure=3,
        labels={"red": 20, "green": 10},
        scores=count([0.99] * 30, SCORE_EDGES).tolist(),
        latency_us=count([600.0] * 30, LATENCY_EDGES_US).tolist(),
        age_ms=count([age_ms] * 30, AGE_EDGES_MS).tolist(),
    )


def device(name: str = "car-1", *, online: bool = True, label: str = "green", reason: str = "") -> DevicePage:
    report = ModelReport(version=3, state="COMMITTED", attempted=3, reason=reason)
    decision = Decision(NOW_S - 1, 3, 7, label, 0.97, "go", 4.0, 0.6)
    view = DeviceView(id=name, online=online, seen_ns=int((NOW_S - 300) * 1e9), models={"stop-go": report})
    return DevicePage(view, [point(NOW_S - 2), point(NOW_S - 1)], [decision], [Event(NOW_S, name, "fault", label)])


def machine_step(step: int, *, temperature_c: float | None = 60.0, ways: str = "", spared: int = 0) -> MachineStep:
    return MachineStep(
        step=step, minutes=10, throttled=4 if ways else 0, ways=ways, spared=spared, span_ms=600_000.0, decisions=1200,
        latency_p95_ms=30.0, temperature_c=temperature_c, memory_mib=1024, memory_free_mib=512, load=1.0,
        disk_free_mib=2048,
    )  # fmt: skip


def history(*steps: MachineStep, name: str = "car-1") -> History:
    return History(name, span_of("day", NOW_S), steps)


def stopped_rollout(reason: str) -> RolloutState:
    gate = Gate(name="score_drift", verdict="stop", limit=0.25, value=1.41, n=880, text=reason)
    wave = Wave(number=0, devices=("car-1",), started_s=NOW_S, tally=Tally(size=1, committed=1), gates=(gate,))
    return RolloutState(
        id="r1",
        model="stop-go",
        version=2,
        target="x86-64",
        plan=Plan(soak_s=10, wave_timeout_s=60),
        state="ROLLED_BACK",
        scope=("car-1", "car-2"),
        waves=(wave,),
        reason=reason,
    )


def test_the_fleet_page_says_what_each_device_decides_and_how_it_is() -> None:
    page = FleetPage(NOW_S, [device(), device("car-2", online=False)], shown=60)
    text = fleet_view(page)
    assert "car-1" in text
    assert ">go<" in text
    assert "sees green, 0.97" in text
    assert "seen 5 min ago" in text
    assert "2 on v3" in text


def test_an_empty_fleet_says_how_to_enrol_a_device() -> None:
    assert "edge fleet enrol" in fleet_view(FleetPage(NOW_S, [], shown=60))


def test_a_stopped_rollout_names_the_gate_its_figure_and_its_limit() -> None:
    text = rollout_panel(stopped_rollout("the scores left their baseline by 1.41"))
    for expected in ("Score drift", "1.41", "0.25", "rolled back", "the scores left their baseline by 1.41"):
        assert expected in text


def test_nothing_that_a_device_says_becomes_html() -> None:
    page = device(HOSTILE, label=HOSTILE, reason=HOSTILE)
    fleet = FleetPage(NOW_S, [page], shown=60, rollouts=[stopped_rollout(HOSTILE)], events=page.events)
    drawn = [fleet_view(fleet), events_view(fleet), device_view(page, NOW_S), rollout_panel(stopped_rollout(HOSTILE))]
    drawn.append(shares({HOSTILE: 3}))
    drawn.append(history_view(history(machine_step(3, ways=HOSTILE), name=HOSTILE), "day"))
    assert all("<script" not in text for text in drawn)
    assert all("&lt;script&gt;" in text for text in drawn)


def test_a_second_without_telemetry_is_a_gap_and_not_a_zero() -> None:
    values = every_second([point(NOW_S - 3.5)], NOW_S, lambda p: p.age_quantile_ms(0.5), seconds=6)
    assert [value is None for value in values] == [True, True, False, True, True, True]


def test_an_event_of_another_day_says_of_which() -> None:
    events = [Event(NOW_S, "car-1", "fault", "today"), Event(NOW_S - 3 * 86400, "car-1", "fault", "earlier")]
    text = events_view(FleetPage(NOW_S, [device()], shown=60, events=events))
    assert re.findall(r"(\w{3} \d\d \w{3}) \d\d:\d\d<", text) == [
        time.strftime("%a %d %b", time.localtime(NOW_S - 3 * 86400))
    ]
    assert time.strftime(">%H:%M:%S<", time.localtime(NOW_S)) in text


def test_a_step_of_history_without_a_word_is_a_gap_and_not_a_line_across_it() -> None:
    chart = line_chart([Line("x", [1.0, 2.0, None, 3.0, None, 4.0, 5.0])], unit="ms")
    (path,) = re.findall(r'<path d="([^"]*)"', chart)
    assert [stretch.count("L") for stretch in path.split("M")[1:]] == [1, 0, 1]
    assert "h0 M" in path  # one value alone is a dot


def test_frost_stays_within_the_picture() -> None:
    chart = line_chart([Line("x", [-20.0, 5.0, -1.0])], unit="°C")
    (path,) = re.findall(r'<path d="([^"]*)"', chart)
    heights = [float(y) for y in re.findall(r"[ML][\d.]+ (-?[\d.]+)", path)]
    assert len(heights) == 3
    assert all(10 <= y <= 130 for y in heights)
    assert "-23.0 °C" in chart
    assert "1.00 °C" in line_chart([Line("x", [0.0, None])], unit="°C")


def test_the_history_says_how_the_machine_slowed_itself_and_how_long() -> None:
    hot = machine_step(7, ways="frequency capped, throttled", spared=3)
    text = history_view(history(machine_step(6), hot, machine_step(9)), "day")
    assert "frequency capped, throttled: 4 minutes" in text
    assert "spared by the agent: 3 minutes" in text
    assert text.count("fill-opacity") == 2
    for expected in ("69.0 °C", "Inference and decision", "2.30 /s", "GiB"):
        assert expected in text


def test_the_latency_shows_when_another_version_took_over() -> None:
    switches = ((2, "v3 took over"), (2, "v3 rolled back"), (9, "v4 took over"), (70, "v5 took over"))
    text = history_view(dataclasses.replace(history(machine_step(6)), switches=switches), "day")
    assert "v3 rolled back, v4 took over, v5 took over, and 1 before" in text
    assert re.findall("<title>([^<]+)</title>", text) == [
        "v3 took over, v3 rolled back",
        "v4 took over",
        "v5 took over",
    ]
    assert "took over" not in history_view(history(machine_step(6)), "day")


def test_what_a_machine_does_not_say_is_said_to_be_unknown_and_drawn_as_nothing() -> None:
    text = history_view(history(machine_step(6, temperature_c=None)), "day")
    assert text.count("this device does not say") == 1
    assert "Nothing was heard of its machine" in history_view(history(), "day")
    assert "throttled" not in text


def test_every_reach_has_names_on_its_axis_and_keeps_its_steps_while_one_looks() -> None:
    for key, reach in REACHES.items():
        span = span_of(key, NOW_S)
        assert span.until - span.since == reach.steps * reach.minutes_each
        assert NOW_S // 60 < span.until <= NOW_S // 60 + reach.minutes_each
        text = history_view(History("car-1", span, [machine_step(reach.steps - 1)]), key)
        named = re.findall(r'text-anchor="middle">([^<]+)<', text.split("</svg>")[0])
        assert 3 <= len(named) <= 8
        assert f'class="on">{reach.name}' in text
    assert span_of("month", NOW_S) == span_of("month", NOW_S + 1)
