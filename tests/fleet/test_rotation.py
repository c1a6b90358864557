"""Keys are replaced, and enrolled devices follow: a real fleet's repository, read by the real client."""

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Root

from edge.bundle import open_bundle
from edge.errors import TrustError
from edge_agent.disk import RealDisk
from edge_agent.update.folder_remote import FolderRemote
from edge_agent.update.refusal import code_of
from edge_agent.update.trust import Trust
from fleet.config import write_private
from fleet.keys import load_key, make_key
from fleet.repository import Repository, parse, to_bytes
from fleet.signing import NewBundle, Publisher

NOW = datetime.datetime.now(datetime.UTC)
Change = Callable[[Root], None]


class Rotated:
    """A fleet with one published version, and a device that was enrolled on its first root."""

    def __init__(self, fleet: Any, make_bundle: Any, folder: Path) -> None:
        self.folder, self.keys, self.make_bundle = fleet.folder, fleet.keys, make_bundle
        self.first_root = (fleet.folder.metadata / "1.root.json").read_text()
        self.trust_file = folder / "trust.json"
        self.publish(1)

    def publish(self, version: int) -> None:
        repository = Repository(self.folder.metadata, self.folder.online)
        opened, publisher = open_bundle(self.make_bundle(version=version)), Publisher(self.keys)
        new = NewBundle("stop-go", version, "x86-64", opened.sha256, opened.size_bytes, "0")
        data = publisher.add(repository.targets_json, new, NOW)
        assert data is not None
        repository.check(data, NOW)
        repository.commit(data, NOW)
        publisher.remember(data)

    def find(self, version: int) -> str:
        """What the device says: the version, or why not. A new process each time."""
        remote = FolderRemote(self.folder.root)
        trust = Trust(RealDisk(), self.trust_file, self.first_root, remote)
        try:
            return str(trust.find("stop-go", version, target="x86-64", agent="0.1.0").version)
        except TrustError as exc:
            return str(code_of(exc.problem))

    def roots(self) -> list[CryptoSigner]:
        return [load_key(self.keys / f"root-{number}.pem") for number in (1, 2, 3)]

    def rotate(self, change: Change, signers: list[CryptoSigner]) -> None:
        """Write the next root: the one in force, changed and signed."""
        root = parse(Root, Repository(self.folder.metadata, self.folder.online).root_json).signed
        root.version += 1
        change(root)
        metadata = Metadata(root)
        for signer in signers:
            metadata.sign(signer, append=True)
        data = to_bytes(metadata)
        (self.folder.metadata / f"{root.version}.root.json").write_bytes(data)
        (self.keys / "root.json").write_bytes(data)


@pytest.fixture
def rotated(fleet: Any, make_bundle: Any, tmp_path: Path) -> Rotated:
    made = Rotated(fleet, make_bundle, tmp_path)
    assert made.find(1) == "1"
    return made


def test_devices_follow_new_root_keys_that_the_old_ones_signed(rotated: Rotated) -> None:
    old, new = rotated.roots(), [CryptoSigner.generate_ed25519() for _ in range(3)]

    def replace(root: Root) -> None:
        for signer in old:
            root.revoke_key(signer.public_key.keyid, "root")
        for signer in new:
            root.add_key(signer.public_key, "root")

    rotated.rotate(replace, [*old[:2], *new[:2]])
    rotated.publish(2)
    assert rotated.find(2) == "2"
    rotated.rotate(lambda _root: None, new[:2])  # the new keys alone carry on
    rotated.publish(3)
    assert rotated.find(3) == "3"
    rotated.rotate(lambda _root: None, old[:2])  # the old ones no longer
    assert rotated.find(3) == "BAD_SIGNATURE"


def test_a_root_that_too_few_of_the_old_keys_signed_is_refused(rotated: Rotated) -> None:
    mine = CryptoSigner.generate_ed25519()
    rotated.rotate(lambda root: root.add_key(mine.public_key, "targets"), [rotated.roots()[0], mine])
    assert rotated.find(1) == "BAD_SIGNATURE"


@pytest.mark.parametrize("role", ["timestamp", "snapshot"])
def test_devices_follow_a_new_online_key_also_when_numbers_begin_again(rotated: Rotated, role: str) -> None:
    """The old key is taken to be stolen: whoever has it can no longer sign, nor block devices with a high number."""
    stolen = load_key(rotated.folder.online / f"{role}.pem")
    path = rotated.folder.online / f"{role}.pem"
    path.unlink()
    fresh = make_key(path)

    def replace(root: Root) -> None:
        root.revoke_key(stolen.public_key.keyid, role)
        root.add_key(fresh.public_key, role)

    rotated.rotate(replace, rotated.roots()[:2])
    Repository(rotated.folder.metadata, rotated.folder.online).refresh(NOW)
    rotated.publish(2)
    assert rotated.find(2) == "2"
    write_private(path, stolen.private_bytes)
    Repository(rotated.folder.metadata, rotated.folder.online).refresh(NOW)
    assert rotated.find(2) == "BAD_SIGNATURE"


def test_devices_follow_a_new_targets_key(rotated: Rotated) -> None:
    old = load_key(rotated.keys / "targets.pem")
    (rotated.keys / "targets.pem").unlink()
    new = make_key(rotated.keys / "targets.pem")
    repository = Repository(rotated.folder.metadata, rotated.folder.online)
    targets = parse_targets(repository)

    def replace(root: Root) -> None:
        root.revoke_key(old.public_key.keyid, "targets")
        root.add_key(new.public_key, "targets")

    rotated.rotate(replace, rotated.roots()[:2])
    targets.signed.version += 1
    targets.sign(new)
    repository.commit(to_bytes(targets), NOW)
    rotated.publish(2)
    assert (rotated.find(1), rotated.find(2)) == ("1", "2")


def parse_targets(repository: Repository) -> Any:
    from tuf.api.metadata import Targets

    return parse(Targets, repository.targets_json)
