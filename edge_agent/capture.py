"""The capture process: from a source into the ring, at a fixed rate, every frame stamped when it was captured.

It asks the source for exactly the model's size, and resizes only where the source cannot deliver it, so that the loop
need not; sound becomes features here, each frame of it once. A source that breaks off is opened again, with growing
pauses.
"""

import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from edge import picture
from edge.errors import BadConfigError, SourceError
from edge.manifest import AudioInput, ImageInput
from edge.windows import window_of
from edge_agent import sources
from edge_agent.backoff import Backoff
from edge_agent.channels import Publication, send
from edge_agent.cores import be_urgent
from edge_agent.link import BEAT_S, Act, CaptureBeat, Ended, Link, Rehearse, die_with, start_child
from edge_agent.plugins import load_class, read_options
from edge_agent.rate import Ratekeeper
from edge_agent.rehearsal import Rehearsal, Rhythm
from edge_agent.ring import RingWriter
from edge_agent.ring_memory import RingMemory
from edge_agent.sources import Picture, Rows, Source
from edge_agent.sources.opencv import load_cv2
from edge_agent.specs import CaptureSpec, Chosen

Form = tuple[tuple[int, ...], type[np.generic]]
"""Shape and dtype of a frame in the ring."""
Fill = Callable[[NDArray[np.generic], NDArray[np.generic]], None]
"""Writes a frame as it came into a slot."""


def run(spec: CaptureSpec, link: Link) -> None:
    """Main path: wait for the tick, read a picture, put it into the ring, publish it."""
    die_with(spec.parent)
    if spec.priority is not None:
        be_urgent(spec.priority)
    camera = Camera(open_source(spec.source), spec.fps)
    press = Press(spec)
    rate = Ratekeeper(spec.fps)
    ahead = Rehearsal(spec.rehearse_ms, (link.fileno(),), on=spec.rehearse_now)
    while link.open:
        rest(camera, press, rate, ahead)
        for order in link.orders():
            match order:
                case Act():
                    press.act(order)
                    rate.change(order.fps)
                case Rehearse(on=on):
                    ahead.allow(on=on)
        waiting = not camera.live and rate.wait_s(time.monotonic_ns()) > 0
        shot = None if waiting else camera.read(press)
        if isinstance(shot, Rows):  # each row counts, whatever the rate of the windows
            rate.due(time.monotonic_ns())
            press.publish_rows(shot)
        elif shot is not None and rate.due(time.monotonic_ns()):  # a live source is read at its own pace
            press.publish(shot)
        if link.beat_due():
            link.say(CaptureBeat(frame=press.frame, dropped=press.dropped, trouble=camera.trouble))
        if camera.ended:
            break
        if shot is None and not waiting:
            select.select([link.fileno()], [], [], camera.pause_s())
        elif isinstance(shot, Picture):
            camera.follow(shot)
    camera.close()
    if camera.ended:
        say_ended(press, link)


def rest(camera: "Camera", press: "Press", rate: Ratekeeper, ahead: Rehearsal) -> None:
    """Until the tick; a source that sets the pace itself waits in its `read()`, and is rehearsed for before that."""
    if not camera.live:
        ahead.before(rate.next_ns, press.rehearse)
    elif ahead.ahead_ns and (next_ns := camera.next_ns):  # early enough for any: one that comes meanwhile waits
        ahead.before(next_ns - ahead.ahead_ns, press.rehearse)


def say_ended(press: "Press", link: Link) -> None:
    """Nothing more will come; the supervisor decides what follows."""
    link.say(Ended())
    while link.open:
        select.select([link.fileno()], [], [], BEAT_S)
        link.orders()
        if link.beat_due():
            link.say(CaptureBeat(frame=press.frame, dropped=press.dropped, trouble="the source has ended"))


def open_source(chosen: Chosen) -> Source:
    """Make the configured source; it is not opened yet."""
    folder = Path(chosen.folder)
    cls = load_class(chosen.kind, sources.KINDS, sources.GROUP, folder)
    source: Source = cls(read_options(cls, chosen.options, folder=folder, where="source"))
    return source


class Camera:
    """A source that is opened again when it breaks off."""

    def __init__(self, source: Source, fps: float) -> None:
        self._source, self._fps = source, fps
        self._open = False
        self._asked = (1, 1, fps)
        self._backoff = Backoff()
        self._again_s = 0.0
        self.trouble = ""
        """Empty, or why there are no pictures."""
        self.ended = False
        self._rhythm, self._shots = Rhythm(), 0

    @property
    def next_ns(self) -> int | None:
        """The earliest time that the next picture will come, CLOCK_MONOTONIC; None where nobody can say."""
        forecast = self._rhythm.next()
        return None if forecast is None else forecast.earliest_ns

    @property
    def live(self) -> bool:
        """Whether it sets its own pace, and is doing so."""
        return self._source.live and self._open

    def read(self, press: "Press") -> Picture | Rows | None:
        """The next picture; None when the source has ended or is not to be had just now."""
        if time.monotonic() < self._again_s:
            return None
        try:
            if self._open and press.hears and press.ask(self._fps) != self._asked:
                self.close()  # the model that decides now hears at another rate
            if not self._open:
                self._asked = press.ask(self._fps)
                self._source.open(*self._asked)
                self._open = True
            shot = self._source.read(press.frame + 1)
        except SourceError as exc:
            self.trouble = exc.problem
            press.start_anew()
            self.close()
            self._again_s = self._backoff.failed(time.monotonic())
            return None
        self.trouble = shot.gap if isinstance(shot, Rows) else ""
        self.ended = shot is None
        return shot

    def follow(self, shot: Picture) -> None:
        """Learn from a picture, after it was published, when the next one will come."""
        self._shots += 1
        self._rhythm.saw(self._shots, shot.captured_ns)

    def pause_s(self) -> float:
        """How long to wait before `read()` is worth a try."""
        return min(BEAT_S, max(0.0, self._again_s - time.monotonic()))

    def close(self) -> None:
        """Close the source; `read()` opens it again."""
        self._open, self._rhythm = False, Rhythm()
        self._source.close()


class Press:
    """Puts pictures into the ring, at the size that the deciding model wants, and publishes them to every loop."""

    def __init__(self, spec: CaptureSpec) -> None:
        self._writer = RingWriter(RingMemory(spec.ring_fd, bytes.fromhex(spec.token)), heard=spec.heard)
        self._pipes = spec.publications
        self._contract, self._epoch, self._active = spec.contract, spec.epoch, spec.active
        self._window = window_of(spec.contract)
        self._anew, self._began = True, 0
        """Whether the next frame begins a stretch, and the frame that this one began with."""
        self.frame = self._writer.last_frame
        self._form: Form = ((), np.uint8)
        self._next: NDArray[np.generic] | None = None
        """The slot of the next frame, claimed ahead in the form of the last one: that need not wait for the frame."""
        self._like: NDArray[np.generic] | None = None
        """Looks as the last picture did, for rehearsals; None: the next one is to be prepared for."""
        self._fill: Fill = _copy
        """Brings such a picture into such a slot."""
        self.dropped = 0
        """Frames that found no free slot."""

    def act(self, order: Act) -> None:
        """From the next frame on another loop decides: this assignment, between two frames, is the switch."""
        if order.contract != self._contract:  # else the window goes on without a gap
            self._window, self._anew, self._like = window_of(order.contract, before=self._window), True, None
        self._contract, self._epoch, self._active = order.contract, order.epoch, order.active

    @property
    def hears(self) -> bool:
        """Whether the deciding model takes sound."""
        return isinstance(self._contract, AudioInput)

    def ask(self, fps: float) -> tuple[int, int, float]:
        """Width, height and rate to ask a source for."""
        match self._contract:
            case ImageInput(width=width, height=height):
                return width, height, fps
            case AudioInput(sample_rate=rate):
                return 1, 1, rate
        return 1, 1, fps

    def publish(self, shot: Picture) -> None:
        """Bring one picture into a free slot and tell every loop; a loop whose pipe is full misses it."""
        self.frame += 1
        if self._anew:
            self._anew, self._began = False, self.frame % 2**32
        pixels = shot.pixels
        if self._like is None or pixels.shape != self._like.shape or pixels.dtype != self._like.dtype:
            self._prepare(pixels)
        out, self._next = self._next, None
        if out is None and (out := self._writer.begin(*self._form)) is None:
            self.dropped += 1
            return
        self._fill(pixels, out)
        slot = self._writer.commit(self.frame, shot.captured_ns)
        seen = Publication(
            slot, self._active, self._epoch, self.frame, shot.captured_ns, time.monotonic_ns(), self._began
        )
        packet = seen.pack()
        for pipe in self._pipes:
            send(pipe, packet)
        self._next = self._writer.begin(*self._form)

    def rehearse(self) -> None:
        """Go through the work for a picture like the last one, in the slot claimed ahead; nobody is told."""
        if self._next is None or self._like is None:
            return
        self._fill(self._like, self._next)
        self._writer.rehearse()
        Publication(0, self._active, self._epoch, self.frame, 0, time.monotonic_ns(), self._began).pack()
        self._next = self._writer.begin(*self._form)

    def publish_rows(self, rows: Rows) -> None:
        """Add rows to the window; publish it whenever the model wants to see it."""
        if self._window is None:
            raise BadConfigError(
                "the source delivers rows of a series or sound, and the model takes whole samples",
                remedy="take another source, or a bundle whose input contract is a series or audio",
            )
        if rows.gap:
            self.start_anew()
        for window in self._window.push(rows.values):
            self.publish(Picture(window, rows.captured_ns - self._window.late_ns))

    def start_anew(self) -> None:
        """The source broke off: what comes next does not join what came before."""
        self._anew = True
        if self._window is not None:
            self._window.clear()

    def _prepare(self, pixels: NDArray[np.generic]) -> None:
        """For frames like `pixels`: how one becomes what the model gets, and a slot of that form."""
        self._writer.abort()
        self._next, self._like = None, np.zeros_like(pixels)
        self._form, self._fill = (pixels.shape, pixels.dtype.type), _copy
        contract = self._contract
        if isinstance(contract, ImageInput) and pixels.dtype == np.uint8:
            width, height = contract.width, contract.height
            self._form = ((height, width, *pixels.shape[2:]), np.uint8)
            if pixels.shape[:2] != (height, width):
                load_cv2()
            self._fill = cast("Fill", picture.fitter(pixels.shape, width, height, contract.resize))


def _copy(pixels: NDArray[np.generic], out: NDArray[np.generic]) -> None:
    np.copyto(out, pixels)


if __name__ == "__main__":
    start_child(CaptureSpec, run)
