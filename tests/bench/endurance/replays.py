"""A recording of each source and sensor, decided again: `python replays.py [--seconds 60] [KIND ...]`.

Each kind plays its shipped fake or simulator to a real agent under `edge record`; then `edge replay --bundle` compares
every decision, input and output, bit for bit. The world of each changes all the time, so that decisions change, too.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from endurance_page import write_page
from rig import EDGE, make_bundle, remember
from worlds import WORLDS, Keys

sys.path.insert(0, str(Path(__file__).parents[2] / "agent"))  # their models of series
sys.path.insert(0, str(Path(__file__).parents[2] / "agent" / "sound"))  # and of sound
from test_series import clip_bundle
from tones import tone_bundle

from edge_agent.recording.chunks import ChunkReader
from edge_agent.recording.messages import Turn
from edge_agent.recording.replay import read_items

AT_ONCE = 3


def measure(kind: str, seconds: float) -> Keys:
    """Record one, decide it again."""
    with tempfile.TemporaryDirectory(prefix=f"edge-replay-{kind}-") as top, WORLDS[kind](Path(top)) as world:
        folder = Path(top)
        environment = {**os.environ, **world.pop("environment", {})}
        base = {
            "device": "desk-1", "model": "colours", "state_dir": "state", "loop": {"hang_s": 20},
            "decider": {"kind": "classify", "go": ["green"], "floor": 0.6, "hold_s": 0.1},
            "actuators": [{"kind": "recorder", "path": "applied.txt", "max_age_ms": 1000}],
        }  # fmt: skip
        (folder / "agent.yaml").write_text(yaml.safe_dump(base | world))
        makers = {
            "colours": lambda: make_bundle(folder, 1),
            "tone": lambda: tone_bundle(folder),
            "valve": lambda: clip_bundle(folder),
        }
        bundle = makers[world.get("model", "colours")]()
        recording = folder / f"{kind}.rec"
        words = ["record", "agent.yaml", "-o", recording, "--seconds", f"{seconds:g}", "--unsigned", bundle]
        done = run(words, folder, environment, seconds + 120)
        if done.returncode:
            return {"kind": kind, "problem": done.stderr[-500:]}
        replayed = run(["replay", recording, "--bundle", bundle, "--json"], folder, environment, 300)
        if not replayed.stdout:
            return {"kind": kind, "problem": replayed.stderr[-500:]}
        turns = [one for one in read_items(ChunkReader(recording), kind) if isinstance(one, Turn)]
    return summary(kind, json.loads(replayed.stdout), turns)


def summary(kind: str, found: Keys, turns: list[Turn]) -> Keys:
    """One row of the table. `read`: turns whose decider was handed a reading; `changes`: of the action."""
    again = found["again"]
    return {
        "kind": kind, "seconds": round(found["span_s"], 1), "turns": found["turns"], "lost": found["lost"],
        "compared": found["decisions_compared"], "decisions_differ": found["decisions_differ"],
        "inputs_differ": again["inputs_differ"], "outputs_differ": again["outputs_differ"],
        "changes": sum(one.action != other.action for one, other in pairwise(turns)),
        "read": sum(bool(one.readings) for one in turns),
    }  # fmt: skip


def run(
    words: list[Any], folder: Path, environment: dict[str, str], timeout_s: float
) -> "subprocess.CompletedProcess[str]":
    """One command of ours, to its end."""
    return subprocess.run(
        [*EDGE, *map(str, words)], cwd=folder, env=environment, capture_output=True, text=True, check=False,
        timeout=timeout_s,
    )  # fmt: skip


def main() -> None:
    """Several at once, for a recording waits most of its time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("kinds", nargs="*", default=list(WORLDS))
    options = parser.parse_args()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for found in pool.map(lambda kind: measure(kind, options.seconds), options.kinds):
            remember("replays", found)
            print(found, flush=True)
    write_page()


if __name__ == "__main__":
    main()
