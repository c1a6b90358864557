"""Runs on the emulated board: open every variant of a bundle on its golden samples, then let the agent decide.

`python3 on_the_board.py BUNDLE CONFIG RECORD` prints one JSON object.
"""

import json
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

from edge.bundle import open_bundle
from edge.runtimes import check_golden, open_session
from edge_agent.actuators.recorder import read_lines

LONGEST_S = 120.0


def golden(path: Path) -> list[dict[str, object]]:
    """What each variant's runtime makes of the golden samples; raises GoldenMismatchError."""
    bundle = open_bundle(path)
    found = []
    for variant in bundle.manifest.variants:
        session = open_session(bundle, variant=variant)
        report = check_golden(bundle, session)
        session.close()
        said = {"runtime": variant.runtime, "dtype": variant.dtype, "file": variant.file}
        found.append({**said, "samples": report.samples, "max_error": report.max_error, "p95_us": report.p95_us})
    return found


def drive(bundle: Path, config: Path, record: Path) -> dict[str, object]:
    """Start `edge run`, and end it when it has told the wheels to go and to stop."""
    began_s = time.monotonic()
    agent = subprocess.Popen(
        [sys.executable, "-m", "edge.cli", "run", str(config), "--unsigned", str(bundle)],
        stderr=subprocess.PIPE,
        text=True,
    )
    first_s = 0.0
    try:
        while time.monotonic() - began_s < LONGEST_S and agent.poll() is None:
            decided = [line for line in read_lines(record) if line.frame and not line.safe]
            first_s = first_s or (time.monotonic() - began_s if decided else 0.0)
            if {"go", "stop"} <= {line.action for line in decided}:
                break
            time.sleep(0.2)
    finally:
        agent.send_signal(signal.SIGTERM)
        _, said = agent.communicate(timeout=60)
    return {"first_decision_s": first_s, "exit": agent.returncode, "said": said}


if __name__ == "__main__":
    bundle, config, record = map(Path, sys.argv[1:4])
    print(json.dumps({"machine": platform.machine(), "golden": golden(bundle), **drive(bundle, config, record)}))
