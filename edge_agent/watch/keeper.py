"""The keeper process: pictures of which the model was not sure, into a bounded store on the device."""

import os
import time
from pathlib import Path

import numpy as np

from edge.errors import DiskFullError
from edge.kept import Remark
from edge_agent.link import Link, die_with, start_child
from edge_agent.recording.messages import Life, Turn
from edge_agent.recording.outlet import turns
from edge_agent.specs import KeeperSpec
from edge_agent.watch.keep import Store

_NICE = 10


def run(spec: KeeperSpec, link: Link) -> None:
    """Main path: wait for turns that were unsure, and keep their pictures."""
    die_with(spec.parent)
    os.nice(_NICE)
    store = Store(Path(spec.folder), max_bytes=spec.max_bytes, max_per_hour=spec.max_per_hour, masks=spec.masks)
    for life, turn in turns(spec.taps, link):
        keep(store, spec.model, life, turn)


def keep(store: Store, model: str, life: Life, turn: Turn) -> None:
    """Keep one picture; what is no picture is left out. Raises: `DiskFullError`."""
    picture = turn.picture.array()
    if picture.dtype != np.uint8 or picture.ndim not in {2, 3}:
        return
    label = life.labels[turn.label] if 0 <= turn.label < len(life.labels) else ""
    remark = Remark(
        model=model, version=life.version, frame=turn.frame, wall_ns=time.time_ns(), label=label, score=turn.score
    )
    try:
        store.keep(picture.view(np.uint8), remark, time.monotonic())
    except OSError as exc:
        raise DiskFullError(f"cannot keep a picture: {exc.strerror}", remedy="free some space") from exc


if __name__ == "__main__":
    start_child(KeeperSpec, run)
