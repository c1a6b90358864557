"""The agent and its fleet for half an hour of trouble: `python soak.py [--minutes 30] [--updates 20]`.

The fleet has been in service before (`in_service.py`). The camera (a stream over HTTP) hangs up every 40 s, the broker
is killed every 4 minutes, the model goes back and forth between two versions, and every 10 s somebody opens all pages
of the dashboard. Every 5 s the memory and the file descriptors of every process are read. At the end each row of
telemetry that the device made must be in the fleet's database, once.
"""

import argparse
import contextlib
import os
import signal
import sqlite3
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from endurance_page import write_page
from in_service import PAGES, ROWS, InService
from rig import Device, Fleet, StuckError, group_members, make_bundle, remember, running_fleet, until

from edge_agent.sources.stream_simulator import StreamSimulator
from edge_agent.update.journal import RESTING

SAMPLE_S, DROP_S, BROKER_S, PAGES_S = 5.0, 40.0, 240.0, 10.0
SETTLE_S = 20.0
"""A process is not looked at before; nor are descriptors so soon after an update, a drop, or the broker's end."""
TABLES = ("windows", "decisions", "events", "quarantine")


@dataclass(slots=True)
class Sample:
    """One process at one moment."""

    at_s: float
    pid: int
    rss_kib: int
    fds: int
    quiet: bool
    """Nothing has happened for a while."""


@dataclass(slots=True)
class Soak:
    """One run."""

    fleet: Fleet
    device: Device
    camera: StreamSimulator
    service: InService
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    first_seen_s: dict[int, float] = field(default_factory=dict)
    happened: Counter[str] = field(default_factory=Counter)
    last_s: float = 0.0
    """When something happened last."""

    def note(self, what: str) -> None:
        """Something happened."""
        self.happened[what] += 1
        self.last_s = time.monotonic()

    def drop_camera(self) -> None:
        """Hang up."""
        self.camera.drop()
        self.note("camera drops")

    def kill_broker(self) -> None:
        """SIGKILL; the service starts it again."""
        service = self.fleet.service.pid
        for pid, words in _children(service).items():
            if "mosquitto" in words:
                os.kill(pid, signal.SIGKILL)
                self.note("broker kills")

    def open_pages(self) -> None:
        """Of the dashboard."""
        self.service.open_pages()
        self.happened["pages opened"] += len(PAGES)

    def order(self) -> None:
        """To the other version, if the one before has ended."""
        if self.device.entry().state not in RESTING:
            self.note("orders that had to wait")
            return
        version = 3 - self.device.entry().running
        self.device.order(version)
        self.note("orders")

    def look(self) -> None:
        """Read every process."""
        now_s = time.monotonic()
        status = self.device.status()
        agent = {name: one["pid"] for name, one in status.get("processes", {}).items()}
        agent["supervisor"] = self.device.process.pid
        found = {f"agent {name}": pid for name, pid in agent.items() if pid and name != "standby"}
        for pid, words in _children(self.fleet.service.pid).items():
            found[f"fleet {_name(words)}"] = pid
        found["fleet service"] = self.fleet.service.pid
        resting = self.device.entry().state in RESTING
        quiet = resting and now_s - self.last_s > SETTLE_S
        if not resting:
            self.last_s = now_s
        for name, pid in found.items():
            with contextlib.suppress(OSError, ValueError, StopIteration):
                self.first_seen_s.setdefault(pid, now_s)
                if now_s - self.first_seen_s[pid] > SETTLE_S:
                    sample = Sample(now_s, pid, _rss_kib(pid), len(list(Path(f"/proc/{pid}/fd").iterdir())), quiet)
                    self.samples.setdefault(name, []).append(sample)

    def run(self, minutes: float, updates: int) -> None:
        """Let time go by."""
        began_s = time.monotonic()
        end_s = began_s + 60 * minutes
        every = {self.look: SAMPLE_S, self.open_pages: PAGES_S, self.drop_camera: DROP_S, self.kill_broker: BROKER_S}
        every[self.order] = 60 * minutes / (updates + 1)
        due_s = {what: began_s + period_s for what, period_s in every.items()}
        while (now_s := time.monotonic()) < end_s:
            for what, period_s in every.items():
                if now_s >= due_s[what]:
                    what()
                    due_s[what] += period_s
            time.sleep(0.1)


def rows(soak: Soak) -> dict[str, Any]:
    """Compare what the device made with what the fleet has."""
    outbox = soak.device.state_dir / "run" / "outbox.sqlite"
    with contextlib.closing(sqlite3.connect(f"file:{outbox.resolve()}?mode=ro", uri=True)) as db:
        identity = db.execute("SELECT value FROM facts WHERE name = 'outbox_id'").fetchone()[0]
        dropped = int(db.execute("SELECT value FROM facts WHERE name = 'dropped'").fetchone()[0])
        made = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'rows'").fetchone()[0]
    telemetry = soak.fleet.dir / "telemetry.db"

    def stored() -> dict[str, list[tuple[str, int]]]:
        with contextlib.closing(sqlite3.connect(f"file:{telemetry}?mode=ro", uri=True)) as db:
            query = "SELECT outbox_id, seq FROM {} WHERE device = ?"
            return {table: db.execute(query.format(table), (soak.device.name,)).fetchall() for table in TABLES}

    def all_there() -> bool:
        found = stored()
        return len({seq for table in found.values() for one, seq in table if one == identity and seq <= made}) == made

    with contextlib.suppress(StuckError):
        until(all_there, "the last rows", 90, poll_s=0.5)
    found = stored()
    identities = Counter(row for table in found.values() for row in table if row[1] <= made)
    with contextlib.closing(sqlite3.connect(f"file:{telemetry}?mode=ro", uri=True)) as db:
        twice = db.execute(
            "SELECT count(*) FROM (SELECT 1 FROM windows GROUP BY device, mono_ns, model, version HAVING count(*) > 1)"
        ).fetchone()[0]
        twice += db.execute(
            "SELECT count(*) FROM (SELECT 1 FROM decisions GROUP BY device, mono_ns, frame HAVING count(*) > 1)"
        ).fetchone()[0]
    return {
        "made": made, "stored": len(identities), "lost": made - len({seq for _, seq in identities}),
        "doubled": sum(number - 1 for number in identities.values()) + twice, "dropped": dropped,
        "outboxes": len({one for one, _ in identities}), "quarantined": len(found["quarantine"]),
    }  # fmt: skip


def growth(samples: list[Sample]) -> dict[str, Any]:
    """Least squares over memory after the first fifth of the run; descriptors of quiet moments."""
    after_s = samples[0].at_s + (samples[-1].at_s - samples[0].at_s) / 5
    kept = [one for one in samples if one.at_s >= after_s] or samples
    quiet = [one.fds for one in kept if one.quiet]
    third = max(1, len(quiet) // 3)
    mean = sum(one.rss_kib for one in kept) / len(kept)
    return {
        "samples": len(kept), "processes": len({one.pid for one in kept}), "rss_mib": round(mean / 1024, 1),
        "growth_percent": round(100 * slope(kept) * (kept[-1].at_s - kept[0].at_s) / mean, 2),
        "fds_first": sorted(set(quiet[:third])), "fds_last": sorted(set(quiet[-third:])),
    }  # fmt: skip


def slope(samples: list[Sample]) -> float:
    """KiB a second, by least squares."""
    mean_s = sum(one.at_s for one in samples) / len(samples)
    spread = sum((one.at_s - mean_s) ** 2 for one in samples)
    mean = sum(one.rss_kib for one in samples) / len(samples)
    return sum((one.at_s - mean_s) * (one.rss_kib - mean) for one in samples) / spread if spread else 0.0


def _children(parent: int) -> dict[int, str]:
    found: dict[int, str] = {}
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int((place / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found[int(place.name)] = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def _name(words: str) -> str:
    parts = words.split()
    return next((part.removeprefix("fleet.") for part in parts if part.startswith("fleet.")), "broker")


def _rss_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1])


def main() -> None:
    """Run, and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--updates", type=int, default=20)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="edge-soak-") as top,
        running_fleet(Path(top)) as fleet,
        StreamSimulator(fps=10) as camera,
    ):
        for version in (1, 2):
            fleet.publish(make_bundle(fleet.folder, version, gain=20.0 + version))
        keys = {"probation_s": 3.0, "quiet_s": 60.0}
        source = {"kind": "stream", "url": camera.url, "fps": 10}
        device = Device(fleet, "car-soak", model="colours", fleet_keys=keys, source=source)
        device.install_first()
        service = InService(fleet, tuple(f"colours/colours-{version}.edge" for version in (1, 2)))
        service.begin()
        soak = Soak(fleet, device, camera, service)
        soak.run(options.minutes, options.updates)
        device.await_rest()
        remember("soak", result(soak, options.minutes))
        device.stop()
        if left := group_members(device.process.pid):
            raise StuckError(f"left behind: {left}")
    write_page()


def result(soak: Soak, minutes: float) -> dict[str, Any]:
    """All figures of a run."""
    restarts = {name: one["restarts"] for name, one in soak.device.status()["processes"].items()}
    database = soak.fleet.dir / "telemetry.db"
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        ended = dict(
            db.execute(
                "SELECT substr(text, 1, instr(text || ' ', ' ') - 1), count(*) FROM events WHERE kind = 'update'"
                " GROUP BY 1"
            ).fetchall()
        )
    return {
        "minutes": minutes, "rows_before": ROWS,
        "happened": dict(soak.happened), "restarts": restarts, "rows": rows(soak),
        "committed": ended.get("COMMITTED", 0), "rolled_back": ended.get("ROLLED_BACK", 0),
        "failed": ended.get("FAILED", 0),
        "processes": {name: growth(found) for name, found in sorted(soak.samples.items())},
        "load": os.getloadavg()[1],
    }  # fmt: skip


if __name__ == "__main__":
    main()
