"""kill -9 of the whole agent at each step of an update and at random moments: `python kills.py [--minutes 30]`.

Four ways (HTTP, MQTT pieces, a stick, a signed difference) take turns. After each kill the disk is looked at, the agent
started again, and the update followed to its end. What counts is the state that the journal shows after the kill. Every
result is kept in `.cache/endurance/kills.jsonl`; a run that was stopped goes on. Delete the file to begin anew.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from endurance_page import write_page
from meter import Meter
from rig import (
    STEPS,
    VERSIONS,
    WAIT_S,
    Device,
    Fleet,
    StuckError,
    make_bundle,
    remark,
    remember,
    remembered,
    running_fleet,
    until,
)

from edge_agent.update.journal import RESTING
from edge_agent.update.refusal import code_of
from fleet.config import FleetFolder
from fleet.settings import load

WAYS = ("http", "mqtt", "stick", "difference")
PER_STEP, AT_RANDOM = 20, 200
"""Of all ways together."""
SIZE_BYTES, ALIKE_BYTES, RATE_BYTES_S = 6_000_000, 1_000_000, 12_000_000
"""Three blocks, so that fetching all of it again would show; making differences takes time that grows faster."""
MODELS = {"difference": "shades"}


class Rig:
    """One fleet, and a device for each way."""

    def __init__(self, fleet: Fleet, stack: ExitStack) -> None:
        self.fleet = fleet
        for version in VERSIONS:
            own = remark(version, SIZE_BYTES)
            fleet.publish(make_bundle(fleet.folder, version, gain=20.0 + version, remark=own))
            alike = remark(7, ALIKE_BYTES, changed=version)
            fleet.publish(make_bundle(fleet.folder, version, gain=20.0 + version, remark=alike, name="shades"))
        stick = fleet.folder / "stick"
        for version in VERSIONS:
            words = ["--model", "colours", "--version", str(version), "--dir", str(fleet.dir)]
            fleet.edge("fleet", "export", str(stick), *words)
        settings = load(FleetFolder(fleet.dir))
        self.meters: dict[str, tuple[Meter, Meter]] = {}
        self.devices: dict[str, Device] = {}
        for way in WAYS:
            wires = tuple(
                stack.enter_context(Meter(port, rate_bytes_s=RATE_BYTES_S))
                for port in (settings.http_port, settings.mqtt_port)
            )
            self.meters[way] = (wires[0], wires[1])
            transport = {"fleet_keys": {"transport": way}} if way in ("http", "mqtt") else {"fleet_keys": {}}
            self.devices[way] = Device(
                fleet, f"car-{way}", model=MODELS.get(way, "colours"), stick=stick if way == "stick" else None,
                wires=(wires[0].port, wires[1].port), **transport,
            )  # fmt: skip
        self.typical_s = dict.fromkeys(WAYS, 5.0)

    def received(self, way: str) -> int:
        """Bytes that have come down to the device of a way."""
        return sum(meter.received for meter in self.meters[way])

    def begin(self, way: str) -> None:
        """Let a device run, with version 1 on its first turn."""
        device = self.devices[way]
        if device.orders:
            device.start()
            device.await_verified()
        else:
            device.install_first()

    def strike(self, way: str, step: str) -> dict[str, Any]:
        """One order, one kill (`step` empty: at a random moment), one end of the update."""
        device = self.devices[way]
        if way == "difference" and device.another() < device.entry().running:  # downwards there is none
            version = device.another()
            device.order(version)
            self.complete(device, version)
        version, before, began_s = device.another(), self.received(way), time.monotonic()
        running = device.entry().running
        device.order(version)
        if step:
            device.reach(step, version)
        else:
            time.sleep(random.uniform(0, 1.1 * self.typical_s[way]))
        struck_s = time.monotonic()
        state = device.kill()
        hit = "before it" if state.attempted != version else state.state
        device.start()
        device.await_verified()
        back_s = time.monotonic() - struck_s
        ended, orders = self.complete(device, version)
        size = (self.fleet.folder / f"{device.model}-{version}.edge").stat().st_size
        result = {
            "way": way, "wanted": step, "hit": hit, "ended": ended, "orders": orders, "back_s": round(back_s, 2),
            "seconds": round(time.monotonic() - began_s, 2), "from": running, "to": version,
            "received": self.received(way) - before, "size": size, "told": self.fleet_knows(device, version),
        }  # fmt: skip
        if orders == 1:
            whole_s = struck_s - began_s if hit in RESTING else self.typical_s[way]
            self.typical_s[way] = 0.7 * self.typical_s[way] + 0.3 * max(1.0, whole_s)
        return result

    def complete(self, device: Device, version: int) -> tuple[str, int]:
        """Follow the update to COMMITTED. Returns how the killed one ended, and the orders that it took.

        A state that was reported with a reason is a clean end; then a new order must succeed.
        """
        ended = ""
        for orders in range(1, 5):
            waited = self.taken_up(device, version, 20 if device.stick else WAIT_S)
            entry = device.await_rest()
            if waited and (entry.state, entry.running, entry.attempted) == ("COMMITTED", version, version):
                return ended or "COMMITTED", orders
            if not waited:
                ended = ended or "the order was lost"
            elif (code := code_of(entry.reason)) is None or entry.state == "COMMITTED":
                raise StuckError(f"no clean end: {entry}")
            else:
                ended = ended or f"{entry.state} {code}"
            device.order(version)
        raise StuckError(f"version {version} does not run after four orders: {device.entry()}")

    def taken_up(self, device: Device, version: int, timeout_s: float) -> bool:
        """Whether the device heard of the order; a person's, on tmpfs, may go with the power."""
        try:
            until(lambda: device.entry().attempted == version, "the order", timeout_s)
        except StuckError:
            if device.stick is None:
                raise
            return False
        return True

    def fleet_knows(self, device: Device, version: int) -> bool:
        """Whether the fleet comes to say that the version is committed."""

        def knows() -> bool:
            found = [one for one in self.fleet.status()["devices"] if one["id"] == device.name]
            model = found[0]["models"].get(device.model, {}) if found else {}
            return (model.get("version"), model.get("state")) == (version, "COMMITTED")

        try:
            return bool(until(knows, "the fleet's knowledge", 60, poll_s=0.1))
        except StuckError:
            return False


def due(way: str, done: list[dict[str, Any]]) -> list[str]:
    """What one way still owes, in a fair order: steps, and "" for a random moment."""
    mine = [line for line in done if line["way"] == way]
    hits = Counter(line["hit"] for line in mine if line["wanted"])
    owed = [step for step in STEPS for _ in range(PER_STEP // len(WAYS) - hits[step])]
    struck = sum(not line["wanted"] for line in mine)
    owed += [""] * (AT_RANDOM // len(WAYS) - struck)
    random.shuffle(owed)
    return owed


def main() -> None:
    """Kill until nothing is owed, or the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--turn", type=int, default=10, help="kills of one way before the next one's turn")
    parser.add_argument("--ways", nargs="*", default=list(WAYS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edge-kills-") as top, ExitStack() as stack:
        rig = Rig(stack.enter_context(running_fleet(Path(top))), stack)
        until_s = time.monotonic() + 60 * options.minutes
        while time.monotonic() < until_s and any(due(way, remembered("kills")) for way in options.ways):
            for way in options.ways:
                take_turn(rig, way, options.turn, until_s)
            write_page()
    write_page()


def take_turn(rig: Rig, way: str, kills: int, until_s: float) -> None:
    """Some kills of one way. Whatever does not come right is a result, too, and kept."""
    owed = due(way, remembered("kills"))[:kills]
    if not owed or time.monotonic() > until_s:
        return
    rig.begin(way)
    for step in owed:
        if time.monotonic() > until_s:
            break
        try:
            line = rig.strike(way, step)
        except StuckError as exc:
            line = {"way": way, "wanted": step, "hit": "?", "ended": f"STUCK: {exc}"}
            log = rig.fleet.folder / f"log-{rig.devices[way].name}.txt"
            print(line, log.read_text()[-4000:], file=sys.stderr, flush=True)
        remember("kills", line)
        print(line, flush=True)
        if line["hit"] == "?":
            break
    rig.devices[way].stop()


if __name__ == "__main__":
    main()
