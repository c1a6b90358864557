"""Runs on the emulated board, under the plugin that counts: turns of the agent's own loop, by variant of a bundle.

`python3 turns_on_the_board.py BUNDLE TURNS`: the plugin prints on stderr what was executed since the marker before;
here one JSON object says on stdout what each of these stretches was.

capture   a frame of the model's size into the ring, and its announcement
inference the model
turn      the rest of `edge_agent.loop`: from the model's output to the command, and with the next frame to the model
nothing   what the marking itself costs

Loop and capture are given what the supervisor gives them, by its own plan, but share this process.
"""

import json
import os
import platform
import socket
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np
import yaml
from count_on_the_board import mark

from edge.bundle import Bundle, open_bundle
from edge.manifest import ImageInput, Variant
from edge.runtimes import Session, open_session
from edge_agent import loop
from edge_agent.channels import make_pipe
from edge_agent.config import AgentConfig, load_config
from edge_agent.link import Link, LoopReady, News
from edge_agent.plan import Boot, Channels, Plan
from edge_agent.press import Press
from edge_agent.ring_memory import create_ring
from edge_agent.sources import Picture
from edge_agent.specs import WatchdogSpec
from edge_agent.switchboard import Switchboard

PIPE_BYTES = 1 << 14
"""Nobody reads commands and records: the pipes must hold them all."""
TOKEN = bytes(range(16))
PACKAGES = ("ai-edge-litert", "numpy", "onnxruntime")
SETTINGS = {
    "device": "board",
    "state_dir": "/nowhere",
    "source": {"kind": "synthetic"},
    "decider": {"kind": "classify", "go": ["green"], "floor": 0.5},
    "actuators": [{"kind": "print", "max_age_ms": 1_000_000}],
}


class Marks:
    """The stretches so far, in order."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    def end(self, stretch: str) -> None:
        """The plugin counts what comes now anew."""
        self.ended.append(stretch)
        mark()


class Camera:
    """The same frame of the model's size, again and again, as capture publishes it."""

    def __init__(self, press: Press, contract: ImageInput) -> None:
        self._press = press
        shape = (contract.height, contract.width, 3)
        self._pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)

    def capture(self) -> None:
        """One frame."""
        self._press.publish(Picture(self._pixels, time.monotonic_ns()))


class Marked:
    """A session that marks where the model begins and ends, and captures the next frame just before it begins.

    Until `begin` it is only being checked on its golden samples.
    """

    def __init__(self, session: Session, marks: Marks, turns: int) -> None:
        self._session, self._marks, self._left = session, marks, turns
        self._camera: Camera | None = None
        self.variant, self.set_input, self.input_buffer = session.variant, session.set_input, session.input_buffer
        self.output, self.reset, self.close = session.output, session.reset, session.close

    def begin(self, camera: Camera, link: Link) -> None:
        """From now on count; `link` ends after the last turn."""
        self._camera, self._link = camera, link
        camera.capture()
        self._marks.end("before")

    def invoke(self) -> None:
        """In the place of the session's."""
        if self._camera is None:
            self._session.invoke()
            return
        self._marks.end("turn")
        self._camera.capture()
        self._marks.end("capture")
        self._session.invoke()
        self._marks.end("inference")
        self._left -= 1
        self._link.open = self._left > 0


class Line(Link):
    """Does for the loop what the supervisor does when a loop is ready: starts capture."""

    def __init__(self, plan: Plan, board: Switchboard, session: Marked) -> None:
        ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        super().__init__(ours)
        self._plan, self._board, self._session = plan, board, session

    def say(self, news: News) -> None:
        """Hear it at once."""
        super().say(news)
        if isinstance(news, LoopReady):
            self._board.deciding.learn(news)
            spec, _ = self._plan.capture(self.fileno())
            self._session.begin(Camera(Press(spec), spec.contract), self)


def configured(model: str) -> AgentConfig:
    """The configuration, as from a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "agent.yaml"
        path.write_text(yaml.safe_dump(SETTINGS | {"model": model}))
        return load_config(path)


def planned(bundle: Bundle) -> tuple[Plan, Switchboard]:
    """What each process will be told, with memory and pipes that are there."""
    board, commands, records = Switchboard(), make_pipe(PIPE_BYTES), make_pipe(PIPE_BYTES)
    board.begin(str(bundle.path), bundle.manifest.version)
    channels = Channels(
        ring_fd=create_ring(token=TOKEN), token=TOKEN.hex(), publications=(make_pipe(), make_pipe()),
        commands=commands, records_in=records.write_fd, records_out=records.read_fd,
    )  # fmt: skip
    return Plan(configured(bundle.manifest.name), Boot(bundle.path), board, channels, WatchdogSpec()), board


def take_turns(bundle: Bundle, variant: Variant, marks: Marks, turns: int) -> None:
    """Let the agent's loop run in this process, and decide on `turns` frames."""
    plan, board = planned(bundle)
    session = Marked(open_session(bundle, variant=variant), marks, turns)
    line = Line(plan, board, session)
    spec, _ = plan.loop(line.fileno(), 0)
    loop.open_session = lambda *_args, **_options: session  # the only thing of the loop that is not its own
    loop.run(msgspec.structs.replace(spec, parent=os.getppid()), line)


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
