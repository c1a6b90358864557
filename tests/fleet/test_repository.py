"""The TUF repository: what the client of python-tuf itself makes of it, and what it refuses."""

import datetime
import http.server
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import Snapshot, Timestamp
from tuf.ngclient import Updater, UpdaterConfig

from edge.bundle import open_bundle
from edge.errors import BadArgumentError, BadMessageError, FileMissingError, FleetError, TrustError
from fleet.answers import MovedOnError
from fleet.config import FleetFolder
from fleet.initialise import init_fleet
from fleet.keys import stray_keys
from fleet.repository import ONLINE_DAYS, Repository, parse, signed_bundles
from fleet.signing import NewBundle, Publisher

NOW = datetime.datetime.now(datetime.UTC)
Serve = Callable[[Path], str]


def bundle(version: int = 1, *, sha256: str = "a" * 64, model: str = "stop-go") -> NewBundle:
    return NewBundle(model, version, "x86-64", sha256, 100, "0")


@pytest.fixture
def repository(fleet: Any) -> Repository:
    return Repository(fleet.folder.metadata, fleet.folder.online)


@pytest.fixture
def publisher(fleet: Any) -> Publisher:
    return Publisher(fleet.keys)


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[http.server.ThreadingHTTPServer] = []

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    def start(folder: Path) -> str:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def publish(repository: Repository, publisher: Publisher, *bundles: NewBundle) -> None:
    for new in bundles:
        data = publisher.add(repository.targets_json, new, NOW)
        assert data is not None
        repository.check(data, NOW)
        repository.commit(data, NOW)
        publisher.remember(data)


def test_the_client_of_python_tuf_finds_verifies_and_downloads_what_was_published(
    fleet: Any, publisher: Publisher, make_bundle: Any, serve: Serve, tmp_path: Path
) -> None:  # fmt: skip
    repository = Repository(fleet.folder.metadata, fleet.folder.online)
    opened = open_bundle(make_bundle(version=3))
    publish(repository, publisher, NewBundle("stop-go", 3, "x86-64", opened.sha256, opened.size_bytes, "0.1"))
    place = fleet.folder.artifacts / "stop-go" / "stop-go-3.edge"
    place.parent.mkdir()
    shutil.copy(opened.path, place)
    url, client = serve(fleet.folder.root), tmp_path / "client"
    client.mkdir()
    updater = Updater(
        str(client), f"{url}/metadata", str(client), f"{url}/artifacts",
        config=UpdaterConfig(prefix_targets_with_hash=False), bootstrap=repository.first_root_json,
    )  # fmt: skip
    updater.refresh()
    target = updater.get_targetinfo("stop-go/stop-go-3.edge")
    assert target is not None
    assert target.custom == {"model": "stop-go", "version": 3, "target": "x86-64", "min_agent": "0.1", "floor": 0}
    assert Path(updater.download_target(target)).read_bytes() == opened.path.read_bytes()
    assert updater.get_targetinfo("stop-go/stop-go-4.edge") is None


def test_the_floor_in_force_is_raised_by_revoking_and_kept_by_publishing(
    repository: Repository, publisher: Publisher
) -> None:
    publish(repository, publisher, bundle(1), bundle(2), bundle(1, model="other"))
    data = publisher.revoke(repository.targets_json, "stop-go", 2, NOW)
    assert data is not None
    repository.check(data, NOW)
    repository.commit(data, NOW)
    publish(repository, publisher, bundle(3))
    floors = {path: item.custom.floor for path, item in repository.bundles().items()}
    assert floors == {
        "stop-go/stop-go-1.edge": 2, "stop-go/stop-go-2.edge": 2, "stop-go/stop-go-3.edge": 2, "other/other-1.edge": 0,
    }  # fmt: skip
    assert publisher.revoke(repository.targets_json, "stop-go", 1, NOW) is None


def test_refreshing_moves_snapshot_and_timestamp_on_and_their_expiry_with_them(repository: Repository) -> None:
    later = NOW + datetime.timedelta(days=5)
    before = parse(Timestamp, (repository.folder / "timestamp.json").read_bytes()).signed
    for _ in range(12):
        repository.refresh(later)
    after = parse(Timestamp, (repository.folder / "timestamp.json").read_bytes()).signed
    assert after.version == before.version + 12
    assert after.expires == later.replace(microsecond=0) + datetime.timedelta(days=ONLINE_DAYS)
    named = repository.folder / f"{after.snapshot_meta.version}.snapshot.json"
    assert parse(Snapshot, named.read_bytes()).signed.expires == after.expires
    assert len(list(repository.folder.glob("*.snapshot.json"))) == 8


def snapshots(repository: Repository) -> list[Path]:
    return list(repository.folder.glob("*.snapshot.json"))


def version_of(path: Path) -> int:
    return int(path.name.split(".")[0])


def test_targets_stay_as_long_as_a_kept_snapshot_names_them(
    fleet: Any, repository: Repository, publisher: Publisher
) -> None:  # fmt: skip
    publish(repository, publisher, *(bundle(version) for version in range(1, 13)))
    parsed = [parse(Snapshot, path.read_bytes()).signed for path in snapshots(repository)]
    named = {snapshot.meta["targets.json"].version for snapshot in parsed}
    assert named == set(range(6, 14))
    assert {path.name for path in repository.folder.glob("*.targets.json")} == {f"{at}.targets.json" for at in named}
    (repository.folder / "14.targets.json").write_bytes(b"uploaded, not yet in force")
    (repository.folder / f"{min(map(version_of, snapshots(repository)))}.snapshot.json").write_bytes(b"damaged")
    repository.refresh(NOW)
    assert {version_of(path) for path in repository.folder.glob("*.targets.json")} == set(range(6, 15))
    assert len(snapshots(repository)) == 8
    assert len(Repository(fleet.folder.metadata, fleet.folder.online).bundles()) == 12


def test_a_crash_before_the_timestamp_leaves_the_old_targets_in_force(
    fleet: Any, repository: Repository, publisher: Publisher
) -> None:  # fmt: skip
    data = publisher.add(repository.targets_json, bundle(1), NOW)
    assert data is not None
    (repository.folder / "2.targets.json").write_bytes(data)
    again = Repository(fleet.folder.metadata, fleet.folder.online)
    assert again.bundles() == {}
    publish(again, publisher, bundle(7))
    assert list(again.bundles()) == ["stop-go/stop-go-7.edge"]


def test_targets_signed_by_another_fleet_are_refused(
    repository: Repository, publisher: Publisher, tmp_path: Path
) -> None:
    other = init_fleet(tmp_path / "other", tmp_path / "other-keys")
    foreign = Publisher(tmp_path / "other-keys").add(
        Repository(other.metadata, other.online).targets_json, bundle(), NOW
    )
    assert foreign is not None
    with pytest.raises(TrustError):
        repository.check(foreign, NOW)
    with pytest.raises(TrustError):
        publisher.open(foreign)


def test_the_wrong_key_in_the_keys_folder_is_told_before_anything_is_sent(
    fleet: Any, repository: Repository, tmp_path: Path
) -> None:  # fmt: skip
    init_fleet(tmp_path / "other", tmp_path / "other-keys")
    shutil.copy(tmp_path / "other-keys" / "targets.pem", fleet.keys / "targets.pem")
    with pytest.raises(TrustError, match="not the key"):
        Publisher(fleet.keys).add(repository.targets_json, bundle(), NOW)


def test_targets_made_on_an_older_version_must_be_made_again(repository: Repository, publisher: Publisher) -> None:
    first = publisher.add(repository.targets_json, bundle(1), NOW)
    second = publisher.add(repository.targets_json, bundle(2), NOW)
    assert first is not None
    assert second is not None
    repository.check(first, NOW)
    repository.commit(first, NOW)
    with pytest.raises(MovedOnError):
        repository.check(second, NOW)


def test_a_published_version_never_gets_other_bytes(repository: Repository, publisher: Publisher) -> None:
    publish(repository, publisher, bundle(1))
    assert publisher.add(repository.targets_json, bundle(1), NOW) is None
    with pytest.raises(FleetError, match="other bytes"):
        publisher.add(repository.targets_json, bundle(1, sha256="b" * 64), NOW)


def edited(repository: Repository, publisher: Publisher, change: Callable[[dict[str, object]], None]) -> bytes:
    """Targets that the right key signed, but that our tools would not make."""
    metadata = publisher.open(repository.targets_json)
    for target in metadata.signed.targets.values():
        change(target.unrecognized_fields["custom"])
    return publisher._sign(metadata, NOW)


@pytest.mark.parametrize(
    "change",
    [{"floor": 0}, {"version": 9}, {"model": "other"}, {"model": "../../etc"}, {"floor": -1}, {"more": 1}],
)
def test_signed_targets_that_contradict_themselves_or_lower_a_floor_are_refused(
    repository: Repository, publisher: Publisher, change: dict[str, object]
) -> None:
    publish(repository, publisher, bundle(1), bundle(2))
    revoked = publisher.revoke(repository.targets_json, "stop-go", 2, NOW)
    assert revoked is not None
    repository.check(revoked, NOW)
    repository.commit(revoked, NOW)
    with pytest.raises(TrustError):
        repository.check(edited(repository, publisher, lambda custom: custom.update(change)), NOW)


def test_signed_targets_that_drop_a_bundle_are_refused(repository: Repository, publisher: Publisher) -> None:
    publish(repository, publisher, bundle(1))
    metadata = publisher.open(repository.targets_json)
    metadata.signed.targets.clear()
    with pytest.raises(FleetError, match="drop"):
        repository.check(publisher._sign(metadata, NOW), NOW)


def test_a_service_that_was_turned_back_gets_no_new_signature(repository: Repository, publisher: Publisher) -> None:
    old = repository.targets_json
    publish(repository, publisher, bundle(1), bundle(2))
    with pytest.raises(TrustError, match="later"):
        publisher.add(old, bundle(3), NOW)


@pytest.mark.parametrize("data", [b"", b"{}", b"[" * 100_000, b"\xff", b'{"signed": {}, "signatures": []}'])
def test_hostile_metadata_is_one_known_error(repository: Repository, data: bytes) -> None:
    with pytest.raises(BadMessageError):
        repository.check(data, NOW)


def test_a_bundle_below_the_floor_is_not_published(repository: Repository, publisher: Publisher) -> None:
    publish(repository, publisher, bundle(5))
    revoked = publisher.revoke(repository.targets_json, "stop-go", 5, NOW)
    assert revoked is not None
    repository.check(revoked, NOW)
    repository.commit(revoked, NOW)
    with pytest.raises(FleetError, match="floor"):
        publisher.add(repository.targets_json, bundle(4), NOW)
    with pytest.raises(FleetError, match="no version"):
        publisher.revoke(repository.targets_json, "unknown", 4, NOW)


# --- keys --------------------------------------------------------------------------------------


def test_init_writes_private_keys_for_their_owner_only_and_none_below_the_served_folder(fleet: Any) -> None:
    root = Repository(fleet.folder.metadata, fleet.folder.online).root
    assert root.roles["root"].threshold == 2
    assert len(root.roles["root"].keyids) == 3
    assert {path.name for path in fleet.keys.iterdir() if path.stat().st_mode & 0o077} == {"root.json", "ca.pem"}
    assert fleet.folder.online.stat().st_mode & 0o777 == 0o700
    assert stray_keys(fleet.folder.root, root) == []
    assert len(stray_keys(fleet.keys, root)) == 4


@pytest.mark.parametrize("how", ["copy", "link", "folder link"])
def test_a_private_key_that_strayed_below_the_served_folder_is_found(fleet: Any, how: str) -> None:
    place = fleet.folder.reports / "kept"
    if how == "copy":
        shutil.copy(fleet.keys / "targets.pem", place)
    else:
        place.symlink_to(fleet.keys / "root-2.pem" if how == "link" else fleet.keys)
    assert stray_keys(fleet.folder.root, Repository(fleet.folder.metadata, fleet.folder.online).root)


def test_init_refuses_keys_below_the_served_folder_and_never_overwrites(fleet: Any, tmp_path: Path) -> None:
    with pytest.raises(BadArgumentError, match="lies inside"):
        init_fleet(tmp_path / "new", tmp_path / "new" / "keys")
    with pytest.raises(BadArgumentError, match="already holds"):
        init_fleet(tmp_path / "new", fleet.keys)
    with pytest.raises(BadArgumentError, match="not empty"):
        init_fleet(fleet.folder.root, tmp_path / "more-keys")
    with pytest.raises(BadArgumentError, match="tenant"):
        init_fleet(tmp_path / "new", tmp_path / "k", tenant="a/+")
    with pytest.raises(BadArgumentError, match="host"):
        init_fleet(tmp_path / "new", tmp_path / "k", host="a host\n")
    assert not (tmp_path / "new").exists()


def test_a_folder_without_a_fleet_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileMissingError, match="holds no fleet"):
        FleetFolder(tmp_path).config()


def test_what_targets_say_is_read_back(repository: Repository, publisher: Publisher) -> None:
    publish(repository, publisher, bundle(1))
    (known,) = signed_bundles(repository.targets).values()
    assert (known.custom.model, known.custom.version, known.sha256, known.size_bytes) == ("stop-go", 1, "a" * 64, 100)
