"""Who may connect, and as whom: devices in control.db, and the password file that broker and web server read."""

from collections.abc import Mapping
from pathlib import Path

from edge.errors import BadArgumentError
from edge.topics import is_id
from fleet.control_store import ControlStore
from fleet.passwords import hash_password, new_password, write_passwords


class Registry:
    """Enrolled devices, and the service's own users beside them in the password file."""

    def __init__(self, store: ControlStore, passwords: Path, service: Mapping[str, str]) -> None:
        """`service`: password hash by service user, as made by `serve` at its start."""
        self._store, self._path, self._service = store, passwords, dict(service)
        self.write()

    def write(self) -> None:
        """Bring the password file in line with the registry."""
        write_passwords(self._path, {**self._store.passwords(), **self._service})

    def enrol(self, device: str) -> str:
        """Admit a device, or replace its credential; returns the new password, which is kept nowhere."""
        if not is_id(device):
            remedy = "use up to 64 letters, digits, - and _, beginning with a letter or digit"
            raise BadArgumentError(f"{device!r} cannot name a device", remedy=remedy)
        password = new_password()
        self._store.set_device(device, hash_password(password))
        self.write()
        return password

    def devices(self) -> list[str]:
        """Every enrolled device, by name."""
        return sorted(self._store.passwords())
