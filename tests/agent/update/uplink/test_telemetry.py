"""What the real uplink process tells: rows, presence, events, pictures."""

import os
import shutil
import socket
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from uplink_fleet import Broker, Fleet, until
from uplink_supervisor import Supervisor

from edge.chunks import CHUNK_BYTES, PARTIAL
from edge.messages import (
    EventRow,
    ListPictures,
    SendPicture,
)
from edge.topics import down
from edge_agent.control import Notice

pytestmark = pytest.mark.skipif(shutil.which("mosquitto") is None, reason="mosquitto is not installed")


def rows_left(supervisor: Supervisor) -> int:
    outbox = sqlite3.connect(supervisor.state_dir / "run" / "outbox.sqlite")
    return int(outbox.execute("SELECT count(*) FROM rows").fetchone()[0])


def test_no_row_is_lost_when_the_broker_and_the_uplink_are_killed(
    supervisor: Supervisor, fleet: Fleet, broker: Broker, published: Any
) -> None:
    fleet.wish(1, 1)
    until(lambda: fleet.model == (1, "COMMITTED"), lambda: fleet.statuses)
    fleet.acknowledges = False
    seen = len(fleet.rows)
    until(lambda: len(fleet.rows) > seen + 3)
    broker.kill()
    time.sleep(1)
    supervisor.kill()
    supervisor.start()
    until(lambda: (found := supervisor.status()) and found.outbox_rows > 5)
    fleet.acknowledges = True
    broker.start()
    until(lambda: supervisor.process.poll() is None and max(fleet.times.values()) > 1)
    supervisor.decides = False
    until(lambda: not rows_left(supervisor), lambda: rows_left(supervisor), 120)
    (outbox_id,) = {outbox for outbox, _ in fleet.rows}
    numbers = sorted(seq for _, seq in fleet.rows)
    assert numbers == list(range(1, numbers[-1] + 1))
    assert outbox_id


def test_presence_tells_a_late_will_from_a_new_session(supervisor: Supervisor, fleet: Fleet) -> None:
    until(lambda: fleet.presences and fleet.presences[-1].online)
    first = fleet.presences[-1].session
    supervisor.kill()
    until(lambda: not fleet.presences[-1].online)
    assert fleet.presences[-1].session == first
    supervisor.start()
    until(lambda: fleet.presences[-1].online)
    assert fleet.presences[-1].session > first
    supervisor.process.terminate()
    supervisor.end()
    until(lambda: not fleet.presences[-1].online)


def test_what_the_supervisor_notices_becomes_an_event(supervisor: Supervisor, fleet: Fleet) -> None:
    until(lambda: fleet.presences and fleet.presences[-1].online)
    supervisor.say(Notice(kind="heat", text="fewer frames: 77.0 °C"))
    until(lambda: any((row.kind, row.text) == ("heat", "fewer frames: 77.0 °C") for row in fleet.bodies(EventRow)))


def test_an_unreadable_wish_is_an_event_and_nothing_else(supervisor: Supervisor, fleet: Fleet) -> None:
    until(lambda: fleet.presences and fleet.presences[-1].online)
    for payload in (b"\xff", b"[]", b'{"models": {"light": {"version": -1}}}', b"[" * 10000):
        fleet.client.publish(down("home", "car-1", "desired"), payload)
    until(lambda: len([event for event in fleet.bodies(EventRow) if event.kind == "message"]) == 4)
    assert supervisor.process.poll() is None


def test_pictures_are_sent_beside_telemetry_by_whichever_process_is_asked_and_bad_questions_are_events(
    tmp_path: Path, fleet: Fleet, enrol: str
) -> None:
    supervisor = Supervisor(tmp_path, enrol=enrol, window_s=0.3, pictures="sent")
    name, data = f"{7:020d}-7.png", os.urandom(3 * CHUNK_BYTES)
    (supervisor.state_dir / "kept").mkdir()
    (supervisor.state_dir / "kept" / name).write_bytes(data)
    until(lambda: fleet.presences and fleet.presences[-1].online)
    for payload in (b'{"type": "list-pictures", "id": 1, "newest": 101}', b'{"type": "reboot", "id": 1}', b"\xff"):
        fleet.client.publish(down("home", "car-1", "cmd"), payload)
    outside = b'{"type": "send-picture", "id": 1, "name": "../journal", "offset": 0, "size_bytes": 9}'
    fleet.client.publish(down("home", "car-1", "cmd"), outside)
    fleet.ask(ListPictures(id=2, newest=5))
    until(lambda: fleet.lists)
    assert [(one.id, one.kept, one.pictures[0].name) for one in fleet.lists] == [
        (2, 1, name)
    ]  # nothing else was answered
    until(lambda: [event.kind for event in fleet.bodies(EventRow)] == ["message"] * 4 + ["pictures"])
    supervisor.kill()  # what comes next owes nothing to what was said before
    supervisor.start()
    until(lambda: len(fleet.presences) > 2 and fleet.presences[-1].online)
    for number in range(3):
        fleet.ask(SendPicture(id=number, name=name, offset=number * CHUNK_BYTES, size_bytes=CHUNK_BYTES))
    until(lambda: len(fleet.pieces) == 3)
    assert {piece.status for piece in fleet.pieces} == {PARTIAL}
    assert b"".join(piece.data for piece in fleet.pieces) == data
    supervisor.kill()


def test_without_a_fleet_the_uplink_only_keeps_its_status(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path, window_s=0.2)
    status = until(supervisor.status)
    assert (status.fleet, status.connected, status.outbox_rows, status.state) == ("", False, 0, "IDLE")
    assert not (supervisor.state_dir / "run" / "outbox.sqlite").exists()
    supervisor.line.shutdown(socket.SHUT_RDWR)  # the supervisor is gone
    assert supervisor.process.wait(30) == 0
    supervisor.end()
