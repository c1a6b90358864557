import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge.errors import AgentError
from edge_agent.channels import Pipe, Publication, make_pipe, newest, send
from edge_agent.recording.messages import Life
from edge_agent.recording.outlet import Outlet
from edge_agent.recording.tap import Tap
from edge_agent.ring import RingReader, RingWriter
from edge_agent.ring_memory import RingMemory, create_ring
from edge_agent.specs import TapSpec

TOKEN = bytes(range(16))
FRAMES = 1_000_000
KILLER = Path(__file__).parent / "ring_killer.py"


@pytest.fixture
def ring() -> Iterator[int]:
    fd = create_ring(token=TOKEN, slots=4, slot_bytes=64 * 64 * 3)
    yield fd
    os.close(fd)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = make_pipe()
    yield pipe
    pipe.close()


def memory(ring: int) -> RingMemory:
    return RingMemory(ring, TOKEN)


def write(writer: RingWriter, frame: int) -> int:
    pixels = writer.begin((8, 8, 3))
    assert pixels is not None
    pixels[...] = frame % 256
    return writer.commit(frame, frame * 1000)


def test_a_frame_is_read_in_place(ring: int) -> None:
    slot = write(RingWriter(memory(ring)), 7)
    reader = RingReader(memory(ring))
    frame = reader.claim(slot, 7)
    assert frame is not None
    assert frame.shape == (8, 8, 3)
    assert (frame == 7).all()
    reader.release(slot)


def test_rows_of_features_travel_as_float32(ring: int) -> None:
    writer, reader = RingWriter(memory(ring)), RingReader(memory(ring))
    rows = writer.begin((49, 10), np.float32)
    assert rows is not None
    rows[...] = 0.5
    frame = reader.claim(writer.commit(1, 0), 1)
    assert frame is not None
    assert (frame.dtype, frame.shape) == (np.float32, (49, 10))
    assert (frame == 0.5).all()


def test_a_reader_can_claim_and_read_but_not_write(ring: int) -> None:
    writer, place = RingWriter(memory(ring)), RingMemory(ring, TOKEN, writable=False)
    slot = write(writer, 7)
    frame = RingReader(place).claim(slot, 7)
    assert frame is not None
    assert (frame == 7).all()
    with pytest.raises(ValueError, match="read-only"):
        frame[...] = 0
    with pytest.raises(TypeError):
        place.set_frame(slot, 0)
    place.release(slot)


def test_a_slot_that_got_a_newer_frame_is_not_read(ring: int) -> None:
    writer, reader = RingWriter(memory(ring)), RingReader(memory(ring))
    slots = [write(writer, frame) for frame in range(1, 6)]
    assert reader.claim(slots[0], 1) is None
    assert reader.claim(slots[4], 5) is not None


def test_a_rehearsed_commit_leaves_no_frame_and_the_next_one_counts(ring: int) -> None:
    writer, reader = RingWriter(memory(ring)), RingReader(memory(ring))
    kept = write(writer, 1)
    frame = writer.begin((4, 4, 3))
    assert frame is not None
    frame[...] = 9
    writer.rehearse()
    assert writer.last_frame == 1
    assert [memory(ring).header(slot).frame for slot in range(4) if slot != kept] == [0, 0, 0]
    assert reader.claim(kept, 1) is not None
    slot = write(writer, 2)
    assert slot != kept
    assert reader.claim(slot, 2) is not None
    with pytest.raises(ValueError, match="begin"):
        writer.rehearse()


def test_the_writer_never_takes_the_newest_slot_nor_one_that_is_read(ring: int) -> None:
    writer, reader = RingWriter(memory(ring)), RingReader(memory(ring))
    held = write(writer, 1)
    assert reader.claim(held, 1) is not None
    slots = [write(writer, frame) for frame in range(2, 40)]
    assert held not in slots
    assert all(a != b for a, b in pairwise(slots))


def test_a_writer_without_a_free_slot_drops_the_frame_and_goes_on(ring: int) -> None:
    writer = RingWriter(memory(ring))
    readers = [RingReader(memory(ring)) for _ in range(4)]
    for frame, reader in enumerate(readers, start=1):
        assert reader.claim(write(writer, frame), frame) is not None
    assert writer.begin((8, 8, 3)) is None
    readers[0].release(0 if writer.begin((8, 8, 3)) else 1)
    assert writer.begin((8, 8, 3)) is not None


def test_a_slot_that_is_being_written_cannot_be_read(ring: int) -> None:
    writer, reader = RingWriter(memory(ring)), RingReader(memory(ring))
    slot = write(writer, 1)
    for frame in range(2, 5):
        write(writer, frame)
    assert writer.begin((8, 8, 3)) is not None  # takes `slot` again
    assert reader.claim(slot, 1) is None


def test_an_aborted_frame_is_never_read_and_frees_its_slot(ring: int) -> None:
    writer, other = RingWriter(memory(ring)), memory(ring)
    assert writer.begin((8, 8, 3)) is not None
    writer.abort()
    assert all(other.header(slot).frame == 0 for slot in range(other.slots))
    assert all(other.claim(slot, fcntl.F_WRLCK) for slot in range(other.slots))


def test_a_writer_killed_within_a_header_leaves_no_frame(ring: int, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, other = RingWriter(memory(ring)), memory(ring)
    assert writer.begin((8, 8, 3)) is not None

    def killed(_memory: RingMemory, _slot: int, _frame: int) -> None:
        raise SystemExit

    monkeypatch.setattr(RingMemory, "set_frame", killed)
    with pytest.raises(SystemExit):
        writer.commit(7, 0)
    written = [header for header in map(other.header, range(other.slots)) if header.height]
    assert [(header.frame, header.height) for header in written] == [(0, 8)]


def test_a_new_writer_counts_on_from_the_frame_of_the_killed_one(ring: int) -> None:
    first = RingWriter(memory(ring))
    newest_slot = [write(first, frame) for frame in (1, 2, 3)][-1]
    second = RingWriter(memory(ring))
    assert second.last_frame == 3
    assert write(second, 4) != newest_slot
    with pytest.raises(ValueError, match="growing"):
        second.commit(4, 0)


@pytest.mark.parametrize("damage", [0, 2, 2**64 - 1])
def test_a_new_writer_counts_on_from_what_was_heard_where_the_ring_lost_its_count(ring: int, damage: int) -> None:
    first = RingWriter(memory(ring))
    for frame in range(901, 906):
        write(first, frame)
    for slot in range(4):
        memory(ring).set_frame(slot, damage)
    second = RingWriter(memory(ring), heard=903)
    assert second.last_frame == 903
    slot = write(second, 904)
    assert RingReader(memory(ring)).claim(slot, 904) is not None


def test_a_reader_of_turns_lives_on_where_damage_made_their_numbers_begin_anew(ring: int, pipe: Pipe) -> None:
    def spec(end_fd: int) -> TapSpec:
        return TapSpec(ring_fd=ring, token=TOKEN.hex(), publications_fd=end_fd)

    life = Life(
        life=1, version=1, bundle="", sha256="", runtime="", dtype="", threads=1, machine="", labels=(), actions=(),
        decider="", options={}, folder="",
    )  # fmt: skip
    outlet, before = Outlet(spec(pipe.read_fd)), Tap(spec(pipe.write_fd))
    for _ in range(3):
        before.hand(life)
    assert [message.lost for message in outlet.drain()] == [0, 0, 0]
    for slot in range(4):
        memory(ring).set_frame(slot, 2**64 - 1)
    Tap(spec(pipe.write_fd)).hand(life)
    assert [(message.data, message.lost) for message in outlet.drain()] == [(msgspec.msgpack.encode(life), 0)]


def test_a_frame_larger_than_a_slot_is_refused(ring: int) -> None:
    with pytest.raises(AgentError, match="needs"):
        RingWriter(memory(ring)).begin((640, 480, 3))


def test_memory_of_another_agent_is_refused(ring: int) -> None:
    with pytest.raises(AgentError, match="not the ring"):
        RingMemory(ring, bytes(16))


def test_a_stalled_reader_never_blocks_the_writer_and_then_sees_no_old_frame(ring: int, pipe: Pipe) -> None:
    writer, reader = RingWriter(memory(ring)), RingReader(memory(ring))
    sent = []
    for frame in range(1, 501):
        slot = write(writer, frame)
        sent.append(send(pipe.write_fd, Publication(slot, 0, 1, frame, 0, 0).pack()))
    assert True in sent
    assert False in sent  # the pipe was full: dropped, not waited for
    packet = newest(pipe.read_fd)
    assert packet is not None
    stale = Publication.unpack(packet)
    assert reader.claim(stale.slot, stale.frame) is None
    assert newest(pipe.read_fd) is None
    assert send(pipe.write_fd, Publication(write(writer, 501), 0, 1, 501, 0, 0).pack())
    fresh = Publication.unpack(newest(pipe.read_fd) or b"")
    assert reader.claim(fresh.slot, fresh.frame) is not None


HOLDER = """
import sys, time
from edge_agent.ring import RingReader
from edge_agent.ring_memory import RingMemory
reader = RingReader(RingMemory(int(sys.argv[1]), bytes(range(16))))
assert reader.claim(int(sys.argv[2]), int(sys.argv[3])) is not None
print("held", flush=True)
time.sleep(600)
"""


def test_the_slot_of_a_stopped_reader_is_not_reused_and_that_of_a_killed_one_is(ring: int) -> None:
    writer = RingWriter(memory(ring))
    held = write(writer, 1)
    command = [sys.executable, "-c", HOLDER, str(ring), str(held), "1"]
    holder = subprocess.Popen(command, pass_fds=(ring,), stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holder.send_signal(signal.SIGSTOP)
        assert held not in [write(writer, frame) for frame in range(2, 100)]
        holder.kill()
        holder.wait()
        assert held in [write(writer, frame) for frame in range(100, 110)]
    finally:
        holder.kill()
        holder.wait()


def read_all(ring: int, pipe: Pipe, killer: subprocess.Popen[str], *, claim: bool) -> tuple[int, int, int]:
    """Read the newest frame over and over; return frames read, torn ones, and the last one seen."""
    reader, read, torn, last = RingReader(memory(ring)), 0, 0, 0
    plain = memory(ring)
    while True:
        ended = killer.poll() is not None
        packet = newest(pipe.read_fd)
        if packet is None:
            if ended:
                return read, torn, last
            time.sleep(0)
            continue
        seen = Publication.unpack(packet)
        last = max(last, seen.frame)
        if claim:
            frame = reader.claim(seen.slot, seen.frame)
        else:
            at = plain.offset(seen.slot)
            frame = np.ndarray((16, 16, 3), np.uint8, buffer=plain.map, offset=at)
            time.sleep(0)
        if frame is None:
            continue
        torn += not (frame.reshape(-1).view(np.uint32) == seen.frame * 2654435761 % 2**32).all()
        read += 1
        if claim:
            reader.release(seen.slot)


def start_killer(ring: int, pipe: Pipe, frames: int) -> subprocess.Popen[str]:
    command = [sys.executable, str(KILLER), str(ring), TOKEN.hex(), str(pipe.write_fd), str(frames), "7"]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(command, pass_fds=(ring, pipe.write_fd), env=environment, stdout=subprocess.PIPE, text=True)


def test_of_a_million_frames_none_is_torn_while_writers_are_killed(ring: int, pipe: Pipe) -> None:
    with start_killer(ring, pipe, FRAMES) as killer:
        read, torn, last = read_all(ring, pipe, killer, claim=True)
        assert killer.stdout is not None
        killed = int(killer.stdout.read())
    assert killer.returncode == 0
    assert max(memory(ring).header(slot).frame for slot in range(4)) == FRAMES
    assert torn == 0
    assert read > 1000
    assert killed > 20
    assert last > FRAMES - 100_000
    print(f"{FRAMES} frames written, {killed} writers killed, {read} frames read, {torn} torn")


def test_the_pattern_would_show_a_torn_frame(ring: int, pipe: Pipe) -> None:
    """The same without claims: there the readers do see frames of mixed or later ids."""
    with start_killer(ring, pipe, 100_000) as killer:
        _, torn, _ = read_all(ring, pipe, killer, claim=False)
    assert torn > 0
