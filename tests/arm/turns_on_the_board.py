"""Runs on the emulated board, under the plugin that counts: turns of the agent's own loop, by variant of a bundle.

`python3 turns_on_the_board.py BUNDLE TURNS`: the plugin prints on stderr what was executed since the marker before;
here one JSON object says on stdout what each of these stretches was.

capture   a frame of the model's size into the ring, and its announcement
inference the model
turn      the rest of `edge_agent.loop`: from the model's output to the command, and with the next frame to the model
nothing   what the marking itself costs
"""

import gc
import json
import os
import platform
import socket
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from count_on_the_board import mark

from edge.bundle import Bundle, open_bundle
from edge.manifest import Variant
from edge.preprocess import Preprocessor
from edge.runtimes import Session, open_session
from edge_agent.board import Board
from edge_agent.capture import Press
from edge_agent.channels import make_pipe
from edge_agent.cores import Placement
from edge_agent.deciders import make_decider
from edge_agent.link import Link
from edge_agent.loop import Parts, decide_forever
from edge_agent.ring import RingReader
from edge_agent.ring_memory import RingMemory, create_ring
from edge_agent.sources import Picture
from edge_agent.specs import CaptureSpec, Chosen, LoopSpec

PIPE_BYTES = 1 << 14
"""Nobody reads commands and records: the pipes must hold them all."""
TOKEN = bytes(range(16))
PACKAGES = ("ai-edge-litert", "numpy", "onnxruntime")


class Marks:
    """The stretches so far, in order."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    def end(self, stretch: str) -> None:
        """The plugin counts what comes now anew."""
        self.ended.append(stretch)
        mark()


class Marked:
    """A session that marks where the model begins and ends, and brings the next frame just before it begins."""

    def __init__(self, session: Session, marks: Marks, press: Press, link: Link, turns: int) -> None:
        self._session, self._marks, self._press, self._link, self._left = session, marks, press, link, turns
        self.variant, self.input_buffer, self.output = session.variant, session.input_buffer, session.output
        width, height, _ = press.ask(1.0)
        self._pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)

    def capture(self) -> None:
        """A frame, as from a camera that has the model's size."""
        self._press.publish(Picture(self._pixels, time.monotonic_ns()))

    def invoke(self) -> None:
        """In the place of the session's; ends the loop after the last turn."""
        self._marks.end("turn")
        self.capture()
        self._marks.end("capture")
        self._session.invoke()
        self._marks.end("inference")
        self._left -= 1
        self._link.open = self._left > 0


def specs(bundle: Bundle, link: socket.socket) -> tuple[LoopSpec, CaptureSpec]:
    """Loop and capture as the supervisor starts them, with a ring and pipes between them that nobody else reads."""
    chosen = Chosen(kind="classify", options={"go": ["green"], "floor": 0.5}, folder="/")
    ring, publications = create_ring(token=TOKEN), make_pipe()
    own = {"parent": os.getppid(), "link_fd": link.fileno(), "ring_fd": ring, "token": TOKEN.hex()}
    loop = LoopSpec(
        **own, index=0, bundle=str(bundle.path), model=bundle.manifest.name, small=False, threads=1, cpu=None,
        priority=None, rehearse_ms=0.0, decider=chosen, actions=("stop", "go"), max_age_ms=1e6, period_ms=200.0,
        publications_fd=publications.read_fd, commands_fd=make_pipe(PIPE_BYTES).write_fd,
        records_fd=make_pipe(PIPE_BYTES).write_fd,
    )  # fmt: skip
    capture = CaptureSpec(
        **own, source=chosen, fps=5.0, contract=bundle.manifest.input, epoch=1, active=0,
        publications=(publications.write_fd,),
    )  # fmt: skip
    return loop, capture


def take_turns(bundle: Bundle, variant: Variant, marks: Marks, turns: int) -> None:
    """Let the real loop decide on `turns` frames, in this process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    spec, capture = specs(bundle, ours)
    session, link = open_session(bundle, variant=variant), Link(ours)
    marked = Marked(session, marks, Press(capture), link, turns)
    decider, twin = (
        make_decider("classify", spec.decider.options, Path("/"), bundle.manifest.labels, spec.actions)
        for _ in range(2)
    )
    parts = Parts(
        session=marked,
        preprocessor=Preprocessor(bundle.manifest.input, variant.input),
        decider=decider,
        twin=twin,
        ring=RingReader(RingMemory(spec.ring_fd, TOKEN, writable=False)),
        board=Board(()),
        memory=None,
        taps=None,
        head=None,
        placement=Placement(None, None),
    )
    session.invoke()  # packs weights
    gc.collect()
    gc.freeze()  # as the loop does
    marked.capture()
    marks.end("before")
    decide_forever(spec, link, parts)
    session.close()
    theirs.close()


def main(path: Path, turns: int) -> None:
    bundle, marks = open_bundle(path), Marks()
    found = {}
    for variant in bundle.manifest.variants:
        for stretch in ("before", *["nothing"] * turns):
            marks.end(stretch)
        take_turns(bundle, variant, marks, turns)
        found[f"{variant.runtime} {variant.dtype}"], marks.ended = marks.ended, []
    versions = {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    print(json.dumps({"variants": found, "versions": versions}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
