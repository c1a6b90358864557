"""Serves the dashboard over a real store with plausible telemetry, for the tests and for looking at it.

`python tests/fleet/dashboard_server.py PORT DATABASE_URL`
"""

import hashlib
import math
import sys
import threading
import time

import msgspec
import numpy as np
import uvicorn
from fastapi import FastAPI

from edge.kept import Remark, kept_name
from edge.messages import (
    Batch,
    DecisionRow,
    EventRow,
    KeptPicture,
    MachineMinute,
    ModelReport,
    PictureList,
    Presence,
    Reported,
    Row,
    UpdateStatus,
    WindowRow,
)  # fmt: skip
from edge.statistics import AGE_EDGES_MS, LATENCY_EDGES_US, SCORE_EDGES, count
from edge_agent.png import encode_png
from fleet.dashboard import mount
from fleet.dashboard.reader import StoreReader
from fleet.plan import Plan
from fleet.rollout_state import Gate, RolloutState, Tally, Wave
from fleet.store import Store, open_store

CARS = tuple(f"car-{number}" for number in range(1, 6))
LABELS = ("red", "green", "yellow", "none")


def telemetry(car: int, second: int, seq: int, rng: np.random.Generator) -> Batch:
    """One second of one car: a window and two decisions."""
    version, label = (3 if car < 2 else 1), LABELS[(second // 2 + car) % 3]
    age = rng.lognormal(1.2 + 0.2 * math.sin(second / 9 + car), 0.25, 30)
    window = WindowRow(
        model="stop-go",
        version=version,
        span_ms=1000.0,
        decisions=30,
        unsure=int(rng.integers(0, 3)),
        labels={"red": 12, "green": 11, "yellow": 2, "none": 5},
        scores=tuple(count(1 - rng.exponential(0.03, 30), SCORE_EDGES).tolist()),
        latency_us=tuple(count(rng.lognormal(6.2 + 0.1 * car, 0.2, 30), LATENCY_EDGES_US).tolist()),
        age_ms=tuple(count(age, AGE_EDGES_MS).tolist()),
        actions={"go": 11, "stop": 19},
    )
    decision = DecisionRow(
        model="stop-go",
        version=version,
        frame=second * 30,
        label=label,
        score=float(1 - rng.exponential(0.03)),
        action="GO" if label == "green" else "STOP",
        age_ms=float(age[0]),
        latency_us=600.0,
    )
    bodies: list[WindowRow | DecisionRow | EventRow] = [window, decision]
    if second % 40 == 7:
        bodies.append(EventRow(kind="fault", text="loop ended with signal 9 and was started again", model="stop-go"))
    now_ns = time.time_ns()
    rows = tuple(
        Row(
            seq=seq + i,
            wall_ns=now_ns,
            mono_ns=now_ns,
            boot_id="b",
            clock_ok=True,
            body=msgspec.Raw(msgspec.json.encode(body)),
        )
        for i, body in enumerate(bodies)
    )
    return Batch(outbox_id="outbox", first_seq=seq, last_seq=seq + len(bodies) - 1, rows=rows)


def fill(store: Store) -> None:
    """The last minute of five cars, one of them offline."""
    now_ns, rng = time.time_ns(), np.random.default_rng(0)
    for car, name in enumerate(CARS):
        report = ModelReport(version=3 if car < 2 else 1, state="PROBATION" if car == 1 else "COMMITTED", attempted=3)
        store.set_presence(name, Presence(online=car != 3, boot_id="b", session=1), now_ns)
        store.set_reported(name, Reported(models={"stop-go": report}, target="raspberrypi4", agent="0.1.0"), now_ns)
        store.add_status(name, UpdateStatus(model="stop-go", version=3, state="SWITCHED"), now_ns)
        for second in range(60 if car != 3 else 0):
            store.ingest(name, telemetry(car, second, 1 + second * 4, rng), now_ns - (60 - second) * 10**9)


def machine_window(minute: int, rng: np.random.Generator) -> WindowRow:
    """One minute of a machine: warm by day, throttled in the hottest hour, its disk slowly filling."""
    warmth = max(0.0, math.sin((minute % 1440 - 420) / 1440 * 2 * math.pi))
    temperature_c = 48 + 38 * warmth + float(rng.normal(0, 0.6))
    slow = temperature_c > 84
    machine = MachineMinute(
        span_ms=60_000.0,
        decisions=1800 if temperature_c < 80 else 900,
        latency_p95_ms=float(rng.lognormal(0.0, 0.05)) * (1.9 if slow else 0.8),
        temperature_c=temperature_c,
        throttled=("frequency capped", "throttled") if slow else (),
        memory_mib=3800,
        memory_free_mib=2600 - int(300 * warmth),
        load=1.2 + 1.5 * warmth,
        disk_free_mib=9000 - minute % 43200 // 10,
        heat=1 if temperature_c > 80 else 0,
    )
    return WindowRow(
        model="stop-go", version=3, span_ms=1000.0, decisions=0, unsure=0, labels={}, scores=(), latency_us=(),
        age_ms=(), actions={}, machine=machine,
    )  # fmt: skip


def fill_history(store: Store) -> None:
    """A month of car-1, each tenth minute but for the last day, with two days and an hour in which it was away."""
    now = time.time_ns() // (60 * 10**9)
    rng, minutes = np.random.default_rng(2), [*range(now - 43_000, now - 1441, 10), *range(now - 1440, now + 1)]
    there = [m for m in minutes if not (12_000 < now - m < 14_880 or 300 < now - m < 360 or 20 < now - m < 24)]
    rows = tuple(
        Row(
            seq=1 + i,
            wall_ns=minute * 60 * 10**9,
            mono_ns=0,
            boot_id="b",
            clock_ok=True,
            body=msgspec.Raw(msgspec.json.encode(machine_window(minute, rng))),
        )
        for i, minute in enumerate(there)
    )
    for at in range(0, len(rows), 500):
        part = rows[at : at + 500]
        store.ingest(CARS[0], Batch(outbox_id="past", first_seq=part[0].seq, last_seq=part[-1].seq, rows=part),
                     time.time_ns())  # fmt: skip

    for days, version, state in ((4, 2, "SWITCHED"), (4, 2, "ROLLED_BACK"), (2, 3, "SWITCHED")):
        status = UpdateStatus(model="stop-go", version=version, state=state)
        store.add_status(CARS[0], status, time.time_ns() - days * 86400 * 10**9)


def go_on(store: Store) -> None:
    """New telemetry every second, for as long as the server runs."""
    rng = np.random.default_rng(1)
    for second in range(60, 6000):
        time.sleep(1)
        for car in (0, 1, 2, 4):
            store.ingest(CARS[car], telemetry(car, second, 1 + second * 4, rng), time.time_ns())


def rollouts() -> list[RolloutState]:
    """One that was stopped, one at work."""
    now_s = time.time()
    sentence = "scores of v2 left their own baseline by 1.48, those of v1 in the same light by 0.07"
    gates = (
        Gate(name="committed_share", verdict="pass", limit=0.95, value=1.0, n=1, text="1 of 1 devices committed v2"),
        Gate(name="failures", verdict="pass", limit=0.05, value=0.0, n=1, text="0 of 1 failed"),
        Gate(name="latency_p95", verdict="pass", limit=1.2, value=1.03, n=2200, text="0.62 ms against 0.60 ms"),
        Gate(name="score_drift", verdict="stop", limit=0.25, value=1.41, n=880, text=sentence),
        Gate(name="unsure_share", verdict="pass", soft=True, limit=0.1, value=0.31, n=880, text="34 % against 3 %"),
    )
    plan = Plan(waves=(0.2, 0.6, 1.0), soak_s=12, wave_timeout_s=120)
    stopped = Wave(
        number=0,
        devices=("car-2",),
        started_s=now_s - 90,
        ended_s=now_s - 55,
        tally=Tally(size=1, committed=1),
        gates=gates,
    )
    passed = msgspec.structs.replace(stopped, gates=gates[:3])
    tally = Tally(size=3, committed=1, working=1, offline=1)
    second = Wave(number=1, devices=("car-1", "car-4"), started_s=now_s - 20, tally=tally, gates=gates[:1])
    common = {"model": "stop-go", "target": "raspberrypi4", "plan": plan, "scope": CARS}
    old = RolloutState(
        id="r2", version=2, state="ROLLED_BACK", waves=(stopped,), reason=sentence, created_s=now_s - 100, **common
    )
    new = RolloutState(id="r3", version=3, state="WAVE", waves=(passed, second), created_s=now_s - 51, **common)
    return [new, old]


class Camera:
    """A device that keeps five pictures of a street with a light, of which its model was not sure."""

    def __init__(self) -> None:
        self._data = dict(self._picture(number) for number in reversed(range(5)))

    @staticmethod
    def _picture(number: int) -> tuple[str, bytes]:
        rows, columns = np.mgrid[0:240, 0:320]
        street = np.stack([120 - rows / 4, 110 - rows / 5, 100 + columns / 8], axis=-1)
        street[(rows - 70) ** 2 + (columns - 60 - 40 * number) ** 2 < 300] = (60, 190 - 40 * number, 200)
        label = "yellow" if number % 2 else "a label that says at great length what the model took this for"
        remark = Remark(
            model="stop-go", version=3, frame=number, wall_ns=time.time_ns() - (5 - number) * 3600 * 10**9, label=label,
            score=0.41 + 0.03 * number,
        )  # fmt: skip
        return kept_name(remark), encode_png(street.astype(np.uint8), msgspec.json.encode(remark).decode())

    def pictures(self, device: str, newest: int) -> PictureList:
        if device != "car-1":
            return PictureList(id=1, refusal="NOT_SENT: this device keeps its pictures to itself (capture_store.send)")
        pictures = [
            KeptPicture(name=name, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
            for name, data in list(self._data.items())[:newest]
        ]
        return PictureList(id=1, kept=len(self._data), pictures=tuple(pictures))

    def picture_piece(self, device: str, name: str, offset: int, size_bytes: int) -> bytes:
        assert device == "car-1"
        return self._data[name][offset : offset + size_bytes]


class Buttons:
    """Writes what was pressed to standard output, where the test reads it."""

    def rollout_pause(self, rollout: str) -> None:
        print("pause", rollout, flush=True)

    def rollout_resume(self, rollout: str) -> None:
        print("resume", rollout, flush=True)

    def rollout_abort(self, rollout: str) -> None:
        print("abort", rollout, flush=True)


if __name__ == "__main__":
    the_store = open_store(sys.argv[2])
    fill(the_store)
    fill_history(the_store)
    threading.Thread(target=go_on, args=(the_store,), daemon=True).start()
    app = FastAPI()
    mount(app, reader=StoreReader(the_store, rollouts), control=Buttons(), pictures=Camera())
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
