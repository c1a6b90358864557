"""Password file in mosquitto's own format, `user:$7$iterations$salt$hash` (PBKDF2, SHA-512), for MQTT and HTTP.

Every password here is random (256 bits), so the iterations need not slow a guesser down; at 101, mosquitto's default,
one check costs about 0.1 ms and ten thousand devices may come back at once.
Source: mosquitto 2.0, `src/password_mosq.c`.
"""

import base64
import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from fleet.config import write_private

ITERATIONS = 101
_SALT_BYTES, _HASH_BYTES = 12, 64


def new_password() -> str:
    """A random password of 256 bits."""
    return secrets.token_urlsafe(32)


def hash_password(password: str) -> str:
    """Hash with a fresh salt."""
    salt = os.urandom(_SALT_BYTES)
    return f"$7${ITERATIONS}${_text(salt)}${_text(_derive(password, salt, ITERATIONS))}"


def verify(password: str, hashed: str) -> bool:
    """Compare in constant time; a hash we cannot read matches nothing."""
    try:
        _, kind, iterations, salt, expected = hashed.split("$")
        derived = _derive(password, base64.b64decode(salt), int(iterations))
        return kind == "7" and hmac.compare_digest(derived, base64.b64decode(expected))
    except ValueError:
        return False


def write_passwords(path: Path, hashes: Mapping[str, str]) -> None:
    """Replace the file by these users."""
    write_private(path, "".join(f"{user}:{hashed}\n" for user, hashed in sorted(hashes.items())).encode())


def read_passwords(path: Path) -> dict[str, str]:
    """Hash by user."""
    lines = path.read_text().splitlines()
    return {user: hashed for user, _, hashed in (line.partition(":") for line in lines if ":" in line)}


class PasswordFile:
    """The file as it is now: read again when it was replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] = (0, 0)
        self._hashes: dict[str, str] = {}

    def accepts(self, user: str, password: str) -> bool:
        """Say whether this is the user's password; an unknown user costs the same time."""
        hashed = self._read().get(user, _NOBODY)
        return verify(password, hashed) and hashed is not _NOBODY

    def _read(self) -> dict[str, str]:
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return {}
        if (stat.st_mtime_ns, stat.st_ino) != self._stamp:
            self._stamp, self._hashes = (stat.st_mtime_ns, stat.st_ino), read_passwords(self._path)
        return self._hashes


def _derive(password: str, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha512", password.encode(), salt, iterations, _HASH_BYTES)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


_NOBODY = hash_password(new_password())
