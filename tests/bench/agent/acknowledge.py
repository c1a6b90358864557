"""`python acknowledge.py LOGIN COUNT_FILE`: the fleet's part of telemetry: takes every batch and acknowledges it.

Writes how many messages came into COUNT_FILE, once a second.
"""

import sys
import time
from pathlib import Path

import msgspec

from edge.messages import Ack, Batch, decode, encode
from edge.mqtt import MqttClient
from edge.topics import all_up, down, parse
from fleet.broker import ServiceLogin


def main() -> None:
    """Until it is killed."""
    login = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=ServiceLogin)
    counted, seen = Path(sys.argv[2]), 0

    def hear(topic: str, payload: bytes) -> None:
        nonlocal seen
        seen += 1
        batch = decode(Batch, payload)
        ack = Ack(outbox_id=batch.outbox_id, first_seq=batch.first_seq, last_seq=batch.last_seq)
        client.publish(down(login.tenant, parse(topic).device, "ack"), encode(ack))

    client = MqttClient(
        login.url, client_id=login.username, username=login.username, password=login.password, ca=login.ca,
        on_message=hear, on_connect=lambda: client.subscribe(all_up(login.tenant, "tlm")),
    )  # fmt: skip
    client.connect()
    while True:
        fresh = counted.with_suffix(".new")  # whoever reads finds the old count or the new one
        fresh.write_text(f"{time.monotonic_ns()} {seen}\n")
        fresh.replace(counted)
        time.sleep(1.0)


if __name__ == "__main__":
    main()
