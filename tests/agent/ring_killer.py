"""Writes patterned frames into a ring from processes that are killed at random moments, as their readers are.

Until FRAMES are written. Prints how many writers were killed.
test_ring.py runs `python ring_killer.py RING_FD TOKEN_HEX PIPE_FD FRAMES SEED`.
"""

import os
import random
import signal
import sys
import time
from collections.abc import Callable

import numpy as np

from edge_agent.channels import Publication, send
from edge_agent.ring import RingReader, RingWriter
from edge_agent.ring_memory import RingMemory

SHAPE = (16, 16, 3)


def write(ring_fd: int, token: bytes, pipe_fd: int, frames: int) -> None:
    """Write until frame `frames`: every four bytes of a frame are a hash of its id."""
    writer = RingWriter(RingMemory(ring_fd, token))
    for frame in range(writer.last_frame + 1, frames + 1):
        pixels = writer.begin(SHAPE)
        if pixels is None:
            continue
        pixels.reshape(-1).view(np.uint32).fill(frame * 2654435761 % 2**32)
        now_ns = time.monotonic_ns()
        slot = writer.commit(frame, now_ns)
        send(pipe_fd, Publication(slot, 0, 1, frame, now_ns, now_ns).pack())


def read(ring_fd: int, token: bytes) -> None:
    """Hold one frame after the other for a millisecond; return if one is torn."""
    memory = RingMemory(ring_fd, token)
    reader = RingReader(memory)
    while True:
        slot = random.randrange(memory.slots)
        frame = memory.header(slot).frame
        pixels = reader.claim(slot, frame) if frame else None
        time.sleep(0.001)
        if pixels is not None:
            if not (pixels.reshape(-1).view(np.uint32) == frame * 2654435761 % 2**32).all():
                return
            reader.release(slot)


def ended(child: int) -> int:
    """Kill a child and return its exit code: -9 unless it ended before."""
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def start(work: Callable[..., None], *arguments: object) -> int:
    """Fork a child that does one thing; this process has no threads."""
    child = os.fork()
    if child == 0:
        work(*arguments)
        os._exit(0)
    return child


def main() -> None:
    """Start a writer and a reader over and over, each killed with -9 after a random time, until a writer finishes."""
    fd, token_hex, pipe_fd, frames, seed = sys.argv[1:]
    ring_fd, token = int(fd), bytes.fromhex(token_hex)
    rng, killed, finished = random.Random(int(seed)), 0, False
    while not finished:
        writer = start(write, ring_fd, token, int(pipe_fd), int(frames))
        reader = start(read, ring_fd, token)
        time.sleep(rng.uniform(0.0, 0.2))
        finished = ended(writer) == 0
        if ended(reader) != -signal.SIGKILL:
            sys.exit("a reader that was to be killed saw a torn frame")
        killed += not finished
    print(killed, flush=True)


if __name__ == "__main__":
    main()
