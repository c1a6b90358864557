"""What the whole agent writes to flash while nothing happens: `python idle_writes.py BUNDLE [SECONDS]`.

It runs `edge run` on one picture that never changes, on a state folder of a real disk, and adds up `write_bytes` of
/proc/PID/io (what the kernel sends to the disk; tmpfs does not count) of all its processes: once without a fleet, and
once with a fleet that cannot be reached for each way to keep telemetry. Every figure is extrapolated to a day.
"""

import contextlib
import datetime
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edge.bundle import open_bundle
from edge.enrolment import Enrolment

SETTLE_S = 20.0
"""Starting writes too, but only once."""
DAY_S = 86400
CONFIG = """
device: idle-1
model: {model}
state_dir: state
source: {{kind: synthetic, fps: 10, frames_each: 1000000}}
decider: {{kind: classify, go: [{label}]}}
actuators: [{{kind: print}}]
"""


@dataclass(frozen=True)
class Written:
    """One run."""

    fleet: str
    seconds: float
    bytes_by_process: dict[str, int]

    @property
    def mb_a_day(self) -> float:
        """Extrapolated."""
        return sum(self.bytes_by_process.values()) / self.seconds * DAY_S / 1e6


def main() -> None:
    """Measure all, or those that were named; print one JSON object each."""
    bundle, seconds = Path(sys.argv[1]).resolve(), float(sys.argv[2]) if len(sys.argv) > 2 else 300.0
    for fleet in sys.argv[3:] or ("none", *(f"unreachable, {outbox}" for outbox in ("spill", "disk", "memory"))):
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
            run = measure(Path(folder), bundle, fleet, seconds)
        print(json.dumps({"fleet": fleet, "mb_a_day": round(run.mb_a_day, 3), "bytes": run.bytes_by_process}))


def measure(folder: Path, bundle: Path, fleet: str, seconds: float) -> Written:
    """Run an agent and look at what its processes have written, twice."""
    manifest = open_bundle(bundle).manifest
    text = CONFIG.format(model=manifest.name, label=json.dumps(manifest.labels[0]))
    if fleet != "none":
        (folder / "idle-1.enrol").write_bytes(msgspec.json.encode(enrolment()))
        outbox = fleet.rpartition(" ")[2]
        text += f"fleet: {{enrol: idle-1.enrol, target: {manifest.target}, outbox: {outbox}}}\n"
    (folder / "agent.yaml").write_text(text)
    command = [sys.executable, "-m", "edge.cli", "-q", "run", str(folder / "agent.yaml"), "--unsigned", str(bundle)]
    agent = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # a log file would count
    try:
        time.sleep(SETTLE_S)
        before = written(agent.pid)
        time.sleep(seconds)
        after = written(agent.pid)
    finally:
        agent.send_signal(signal.SIGTERM)
        agent.wait(30)
    return Written(fleet, seconds, {name: after[name] - before.get(name, 0) for name in after})


def written(parent: int) -> dict[str, int]:
    """Bytes by process: the supervisor and its children."""
    found: dict[str, int] = {}
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            above = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            if parent in (above, int(place.name)):
                words = (place / "cmdline").read_bytes().split(b"\0")
                name = words[3].decode() if above == parent else "supervisor"
                io = dict(line.split(": ") for line in (place / "io").read_text().splitlines())
                found[f"{name} {place.name}"] = int(io["write_bytes"])
    return found


def enrolment() -> Enrolment:
    """Of a fleet that nobody answers for."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nobody")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    return Enrolment(
        tenant="t", device="idle-1", mqtt_url="mqtts://127.0.0.1:1", http_url="https://127.0.0.1:1",
        username="idle-1", password="x", ca_pem=pem, root_json="{}",
    )  # fmt: skip


if __name__ == "__main__":
    os.nice(10)
    main()
