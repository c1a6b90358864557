"""Sound becomes windows in the ring, each with the time of its own last sample."""

import time

import msgspec
import numpy as np
from tones import HEARD, PERIOD, RATE

from edge.manifest import (
    InputContract,
    SeriesInput,
)
from edge.sound import window_samples
from edge_agent.channels import make_pipe
from edge_agent.link import Act
from edge_agent.press import Press
from edge_agent.reopening import Reopening
from edge_agent.ring_memory import create_ring
from edge_agent.sources import Rows
from edge_agent.specs import CaptureSpec, Chosen


class Ear:
    """A source that only remembers what it was asked for."""

    live = True

    def __init__(self) -> None:
        self.asked: list[float] = []

    def open(self, *asked: float) -> None:
        self.asked.append(asked[-1])

    def read(self, _: int) -> Rows:
        return Rows(np.zeros((PERIOD, 1), np.float32), time.monotonic_ns())

    def close(self) -> None:
        self.asked.append(0)


def press(contract: InputContract) -> Press:
    token = bytes(16)
    spec = CaptureSpec(
        parent=0, link_fd=0, source=Chosen(kind="wav", options={}, folder="."), fps=30, contract=contract, epoch=1,
        active=0, ring_fd=create_ring(token=token), token=token.hex(), publications=(make_pipe().write_fd,),
    )  # fmt: skip
    return Press(spec)


def test_a_source_is_asked_for_the_models_rate_and_opened_again_for_a_model_that_hears_at_another() -> None:
    ear, writer = Ear(), press(HEARD)
    camera = Reopening(ear, 30)
    camera.read(writer)
    camera.read(writer)
    writer.act(Act(contract=msgspec.structs.replace(HEARD, stride=5), epoch=2, active=1, fps=15))
    camera.read(writer)
    assert ear.asked == [RATE]
    writer.act(Act(contract=msgspec.structs.replace(HEARD, sample_rate=16000), epoch=3, active=0, fps=15))
    camera.read(writer)
    assert ear.asked == [RATE, 0, 16000]


def test_each_window_is_stamped_with_its_own_last_sample() -> None:
    writer = press(HEARD)
    size = window_samples(HEARD)
    writer.publish_rows(Rows(np.zeros((size + 5 * HEARD.hop_length + 7, 1), np.float32), 1_000_000_000))
    assert writer.frame == 3  # a new one every 2 frames
    behind_ns = (7 + HEARD.hop_length) * 10**9 // RATE
    newest = writer._writer._memory.header(writer._writer._newest)
    assert (newest.frame, newest.captured_ns) == (3, 1_000_000_000 - behind_ns)


def test_a_model_that_takes_raw_samples_has_a_series_of_one_column() -> None:
    writer = press(SeriesInput(window=PERIOD, stride=PERIOD, columns=("sound",)))
    assert writer.ask(RATE) == (1, 1, RATE)
    writer.publish_rows(Rows(np.zeros((3 * PERIOD, 1), np.float32), 1))
    assert writer.frame == 3
