"""From a picture, or rows of a series or sound, to a frame in the ring of which every loop hears."""

import time
from collections.abc import Callable
from typing import cast

import numpy as np
from numpy.typing import NDArray

from edge import picture
from edge.errors import BadConfigError
from edge.manifest import AudioInput, ImageInput
from edge.windows import window_of
from edge_agent.channels import Publication, send
from edge_agent.link import Act
from edge_agent.ring import RingWriter
from edge_agent.ring_memory import RingMemory
from edge_agent.sources import Picture, Rows
from edge_agent.sources.opencv import load_cv2
from edge_agent.specs import CaptureSpec

Form = tuple[tuple[int, ...], type[np.generic]]
"""Shape and dtype of a frame in the ring."""
Fill = Callable[[NDArray[np.generic], NDArray[np.generic]], None]
"""Writes a frame as it came into a slot."""


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
        self._fill: Fill = picture.copy
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
        self._form, self._fill = (pixels.shape, pixels.dtype.type), picture.copy
        contract = self._contract
        if isinstance(contract, ImageInput) and pixels.dtype == np.uint8:
            width, height = contract.width, contract.height
            self._form = ((height, width, *pixels.shape[2:]), np.uint8)
            if pixels.shape[:2] != (height, width):
                load_cv2()
            self._fill = cast("Fill", picture.fitter(pixels.shape, width, height, contract.resize))
