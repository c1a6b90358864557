"""`edge fleet export`: what lies on the stick, and that python-tuf's own client takes it."""

import datetime
from pathlib import Path
from typing import Any

import pytest
from tuf.ngclient import Updater, UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface

from edge.bundle import open_bundle
from edge.errors import BadArgumentError, FileMissingError, FleetError
from fleet.answers import DeviceStatus, FleetStatus, ModelStatus
from fleet.artifacts import Artifacts
from fleet.config import FleetFolder
from fleet.export import export, wanted_version
from fleet.repository import Repository
from fleet.signing import NewBundle, Publisher

NOW = datetime.datetime.now(datetime.UTC)


class Files(FetcherInterface):
    """Plain files."""

    def _fetch(self, url: str) -> Any:
        from tuf.api.exceptions import DownloadHTTPError

        try:
            return iter([Path(url).read_bytes()])
        except FileNotFoundError as exc:
            raise DownloadHTTPError(url, 404) from exc


def publish(fleet: Any, path: Path) -> None:
    repository, publisher, opened = (
        Repository(fleet.folder.metadata, fleet.folder.online), Publisher(fleet.keys), open_bundle(path)
    )  # fmt: skip
    manifest = opened.manifest
    new = NewBundle(manifest.name, manifest.version, manifest.target, opened.sha256, opened.size_bytes, "0")
    data = publisher.add(repository.targets_json, new, NOW)
    assert data is not None
    artifacts = Artifacts(fleet.folder)
    (fleet.folder.incoming / f"{opened.sha256}.edge").write_bytes(path.read_bytes())
    for bundle in repository.check(data, NOW).values():
        artifacts.place(bundle)
    repository.commit(data, NOW)
    publisher.remember(data)


@pytest.fixture
def published(fleet: Any, make_bundle: Any) -> Any:
    for version, target in ((1, "x86-64"), (2, "x86-64"), (3, "raspberrypi4")):
        publish(fleet, make_bundle(version=version, target=target))
    return fleet


def test_the_newest_bundle_of_each_target_and_all_that_proves_it_are_copied(published: Any, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    done = export(published.folder, stick, "stop-go")
    assert done.bundles == ("stop-go/stop-go-2.edge", "stop-go/stop-go-3.edge")
    client = tmp_path / "client"
    client.mkdir()
    updater = Updater(
        str(client), f"{stick}/metadata/", str(client), f"{stick}/artifacts/", fetcher=Files(),
        config=UpdaterConfig(prefix_targets_with_hash=False),
        bootstrap=(published.folder.metadata / "1.root.json").read_bytes(),
    )  # fmt: skip
    updater.refresh()
    target = updater.get_targetinfo("stop-go/stop-go-2.edge")
    assert target is not None
    assert open_bundle(Path(updater.download_target(target))).manifest.version == 2


def test_no_key_password_or_report_ever_lies_on_a_stick(published: Any, tmp_path: Path) -> None:
    export(published.folder, tmp_path / "stick", "stop-go", 1)
    names = sorted(path.relative_to(tmp_path / "stick").as_posix() for path in (tmp_path / "stick").rglob("*.*"))
    assert names == [
        "artifacts/stop-go/stop-go-1.edge", "metadata/1.root.json", "metadata/4.snapshot.json",
        "metadata/4.targets.json", "metadata/timestamp.json",
    ]  # fmt: skip


def test_what_cannot_be_exported_is_refused(published: Any, tmp_path: Path) -> None:
    for model, version in (("other", None), ("stop-go", 9)):
        with pytest.raises(FleetError, match="is not published, or revoked"):
            export(published.folder, tmp_path / "stick", model, version)
    with pytest.raises(FileMissingError):
        export(FleetFolder(tmp_path), tmp_path / "stick", "stop-go")
    (tmp_path / "file").write_text("")
    with pytest.raises(BadArgumentError):
        export(published.folder, tmp_path / "file", "stop-go")


def test_the_version_that_a_device_is_ordered_to_run_can_be_chosen() -> None:
    model = ModelStatus(version=1, state="COMMITTED", wanted=4)
    device = DeviceStatus(id="car-1", online=False, models={"stop-go": model})
    status = FleetStatus(tenant="t", devices=(device,), rollouts=(), bundles=())
    assert wanted_version(status, "car-1", "stop-go") == 4
    for other in (("car-2", "stop-go"), ("car-1", "sound")):
        with pytest.raises(FleetError):
            wanted_version(status, *other)
