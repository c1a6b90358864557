"""Private keys on disk: the offline ones in the `--keys` folder, and the search for those that strayed into DIR.

KEYS holds root-1.pem, root-2.pem, root-3.pem (any two sign a new root), targets.pem (signs what is published), ca.key,
and beside them what a publisher checks a service against: root.json, ca.pem, signed.json.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Root

from edge.errors import BadArgumentError, FileMissingError, TrustError
from fleet.config import write_private

ROOT_KEYS, ROOT_THRESHOLD = 3, 2
_MAX_KEY_BYTES = 64 * 1024
"""No private key is larger; spares the search from reading bundles."""


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """signed.json: the newest targets metadata these keys have signed and a service has taken."""

    version: int
    sha256: str


def make_keys(folder: Path) -> tuple[tuple[CryptoSigner, ...], CryptoSigner]:
    """Make the root keys and the targets key in `folder` (0700, files 0600); never overwrites one."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    names = [f"root-{number}.pem" for number in range(1, ROOT_KEYS + 1)]
    taken = [name for name in (*names, "targets.pem", "ca.key") if (folder / name).exists()]
    if taken:
        raise BadArgumentError(f"{folder} already holds {', '.join(taken)}", remedy="name an empty folder for --keys")
    folder.chmod(0o700)
    roots = tuple(make_key(folder / name) for name in names)
    return roots, make_key(folder / "targets.pem")


def make_key(path: Path) -> CryptoSigner:
    """Make one Ed25519 key."""
    signer = CryptoSigner.generate_ed25519()
    write_private(path, signer.private_bytes)
    return signer


def load_key(path: Path) -> CryptoSigner:
    """Load one private key in PEM."""
    try:
        return CryptoSigner(load_pem_private_key(path.read_bytes(), password=None))
    except OSError as exc:
        remedy = "name the folder that `edge fleet init DIR --keys KEYS` filled"
        raise FileMissingError(f"cannot read the key {path}: {exc.strerror}", remedy=remedy) from exc
    except (ValueError, TypeError) as exc:
        raise TrustError(f"{path} is not a private key: {exc}", remedy="restore it from your backup") from exc


def stray_keys(folder: Path, root: Root) -> list[Path]:
    """Private keys of the roles root and targets below `folder`: none may lie there while it is served."""
    offline = {*root.roles["root"].keyids, *root.roles["targets"].keyids}
    return sorted(path for path in _small_files(folder) if _key_id(path) in offline)


def _small_files(folder: Path) -> Iterator[Path]:
    # links are followed: a link to the keys folder would serve it as well
    for place, _, names in os.walk(folder, followlinks=True):
        for name in names:
            path = Path(place) / name
            if path.is_file() and path.stat().st_size <= _MAX_KEY_BYTES:
                yield path


def _key_id(path: Path) -> str:
    """Identity of the private key in a file, or nothing."""
    try:
        data = path.read_bytes()
        if b"PRIVATE KEY" not in data:
            return ""
        return CryptoSigner(load_pem_private_key(data, password=None)).public_key.keyid
    except (OSError, ValueError, TypeError):
        return ""
