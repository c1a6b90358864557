"""Which service a command talks to."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from edge.errors import FileMissingError

if TYPE_CHECKING:
    from fleet.client import FleetClient


@Parameter(name="*")
@dataclass(frozen=True)
class Where:
    """Which service a command talks to: of a folder on this machine, or at a URL."""

    directory: Annotated[
        Path, Parameter(name="--dir", help="Folder of a fleet on this machine; by default the current one.")
    ] = Path()
    fleet: Annotated[str | None, Parameter(help="URL of a service elsewhere: https://HOST:8443.")] = None
    token: Annotated[str | None, Parameter(help="With --fleet: the admin token, or the file that holds it.")] = None
    ca: Annotated[
        Path | None, Parameter(help="With --fleet: the fleet's CA certificate; KEYS/ca.pem where --keys is given.")
    ] = None

    @contextlib.contextmanager
    def client(self, keys: Path | None = None) -> Iterator["FleetClient"]:
        """Connect."""
        from fleet.client import FleetClient

        if self.fleet is None:
            made = FleetClient.local(self.directory)
        else:
            ca = self.ca or (keys / "ca.pem" if keys else None)
            made = FleetClient.remote(self.fleet, _token(self.token), ca)
        with made as client:
            yield client


HERE = Where()
Json = Annotated[bool, Parameter(name="--json", negative="")]


def _token(given: str | None) -> str:
    if given is None:
        raise FileMissingError(
            "--fleet needs --token", remedy="pass --token FILE; it is DIR/admin.token on the service"
        )
    path = Path(given)
    return path.read_text().strip() if path.is_file() else given
