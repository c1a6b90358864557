"""`edge fleet enrol DEVICE`: admit a device and write its file."""

from pathlib import Path

from edge.enrolment import Enrolment, write_enrolment
from edge.errors import BadArgumentError
from fleet.client import FleetClient


def enrol(client: FleetClient, device: str, output: Path | None) -> tuple[Path, Enrolment]:
    """Admit `device`, or replace its credential, and write `DEVICE.enrol` (0600)."""
    path = output or Path(f"{device}.enrol")
    # before the service replaces a credential: a path that cannot be written would lose the new one
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise BadArgumentError(f"cannot write {path}", remedy="name a file in a folder that exists: -o FILE")
    enrolment = client.enrol(device)
    write_enrolment(path, enrolment)
    return path, enrolment
