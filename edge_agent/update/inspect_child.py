"""Read an untrusted bundle in a process of its own, so that a hostile file can at most end that process.

`python -m edge_agent.update.inspect_child FILE` prints an `Inspection` as JSON; `inspect` starts it and reads that.
"""

import subprocess
import sys
from pathlib import Path

import msgspec

from edge.errors import EdgeError
from edge_agent.update.refusal import refusal

TIMEOUT_S = 60.0


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """What the uplink needs to know of a bundle. `problem`: why it is none; empty if it is one."""

    problem: str = ""
    name: str = ""
    version: int = 0
    target: str = ""
    labels: tuple[str, ...] = ()
    scores: tuple[int, ...] = ()
    """The baseline: counts by `score_edges`."""
    score_edges: tuple[float, ...] = ()
    """Empty for a classifier, whose edges are `edge.statistics.SCORE_EDGES`."""


def inspect(path: Path) -> Inspection:
    """Look into a bundle; raises TrustError (BAD_BUNDLE) if it is none, or if reading it ends the child."""
    command = [sys.executable, "-m", "edge_agent.update.inspect_child", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)
        found = msgspec.json.decode(done.stdout, type=Inspection)
    except subprocess.TimeoutExpired as exc:
        raise refusal("BAD_BUNDLE", f"reading it took more than {TIMEOUT_S:.0f} s") from exc
    except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
        raise refusal("BAD_BUNDLE", f"reading it ended the process with status {done.returncode}") from exc
    if found.problem:
        raise refusal("BAD_BUNDLE", found.problem)
    return found


def _look(path: Path) -> Inspection:
    from edge.bundle import open_bundle

    try:
        bundle = open_bundle(path)
    except EdgeError as exc:
        return Inspection(problem=exc.problem)
    manifest = bundle.manifest
    return Inspection(
        name=manifest.name,
        version=manifest.version,
        target=manifest.target,
        labels=manifest.labels,
        scores=tuple(int(n) for n in bundle.baseline.scores),
        score_edges=manifest.score_edges,
    )


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(_look(Path(sys.argv[1]))))
