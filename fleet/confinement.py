"""Who may write and read which topic: the rules that `fleet.broker` writes as mosquitto's ACL, as code for amqtt."""

from pathlib import Path

from edge.topics import ROOT
from fleet.broker import BrokerSettings
from fleet.passwords import PasswordFile


class Confinement:
    """Who may write and read what; pure but for the password file."""

    def __init__(self, settings: BrokerSettings) -> None:
        self._top = f"{ROOT}/{settings.tenant}"
        self._service = {access.user: access for access in settings.service}
        self._passwords = PasswordFile(Path(settings.passwords))

    def admits(self, user: str | None, client_id: str | None, password: str | None) -> bool:
        """Known user, right password, and a client id that is the user name."""
        return bool(user and password) and user == client_id and self._passwords.accepts(str(user), str(password))

    def may_write(self, user: str, topic: str) -> bool:
        """Say whether `user` may publish to `topic`."""
        return any(covers(allowed, topic) for allowed in self._filters(user, write=True))

    def may_read(self, user: str, topic: str) -> bool:
        """Say whether `user` may subscribe to the filter `topic`, or receive a message of that topic."""
        return any(covers(allowed, topic) for allowed in self._filters(user, write=False))

    def _filters(self, user: str, *, write: bool) -> list[str]:
        access = self._service.get(user)
        if access is None:
            return [f"{self._top}/d/{user}/{'up' if write else 'down'}/#"]
        return [f"{self._top}/{name}" for name in (access.write if write else access.read)]


def covers(allowed: str, wanted: str) -> bool:
    """Say whether everything that the filter `wanted` matches is matched by the filter `allowed` too."""
    have, want = allowed.split("/"), wanted.split("/")
    for index, level in enumerate(have):
        if level == "#":
            return True
        if index >= len(want) or want[index] == "#":
            return False
        if level != "+" and level != want[index]:
            return False
    return len(have) == len(want)
