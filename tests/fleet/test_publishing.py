"""Publishing through the API: what lies where, in which order, and what is refused."""

import hashlib
import shutil
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from serving import Served, signed

from edge.bundle import open_bundle
from edge.errors import (
    FleetError,
)
from fleet import artifacts
from fleet.answers import Problem
from fleet.client import FleetClient
from fleet.signing import NewBundle


def test_a_published_bundle_lies_under_its_signed_name_with_its_report(served: Served, make_bundle: Any) -> None:
    bundle = make_bundle(version=2)
    report = bundle.with_suffix(".report")
    (report / "sub").mkdir(parents=True)
    (report / "report.html").write_text("<p>good</p>")
    new = served.client.publish(bundle, served.fleet.keys, min_agent="0.1")
    place = served.fleet.folder.artifacts / "stop-go" / "stop-go-2.edge"
    assert place.read_bytes() == bundle.read_bytes()
    assert (served.fleet.folder.reports / "stop-go-2" / "report.html").read_text() == "<p>good</p>"
    (known,) = served.client.status().bundles
    assert (known.model, known.version, known.sha256, known.min_agent) == ("stop-go", 2, new.sha256, "0.1")
    assert known.report
    assert not known.revoked


def test_publishing_the_same_bytes_again_changes_nothing_and_other_bytes_are_refused(
    served: Served, make_bundle: Any
) -> None:
    served.client.publish(make_bundle(), served.fleet.keys)
    before = served.control.repository.targets.version
    served.client.publish(make_bundle(), served.fleet.keys)
    assert served.control.repository.targets.version == before
    with pytest.raises(FleetError, match="other bytes"):
        served.client.publish(make_bundle(model=b"other weights"), served.fleet.keys)
    assert served.control.repository.targets.version == before


@pytest.mark.parametrize("shared_keys", [True, False])
def test_simultaneous_publishes_all_succeed_in_order(served: Served, make_bundle: Any, shared_keys: bool) -> None:
    """With one keys folder they take turns at its lock; with copies of it they meet at the version check."""
    bundles = [make_bundle(name=name, version=version) for name in ("a", "b", "c") for version in (1, 2, 3)]
    failures: list[Exception] = []
    together = threading.Barrier(3)

    def publish(keys: Path, mine: list[Path]) -> None:
        try:
            with FleetClient.local(served.fleet.folder.root) as client:
                together.wait(30)
                for bundle in mine:
                    client.publish(bundle, keys)
        except Exception as exc:  # noqa: BLE001  # the main thread says it
            failures.append(exc)

    threads = []
    for number in range(3):
        keys = served.fleet.keys
        if not shared_keys:
            keys = Path(shutil.copytree(served.fleet.keys, served.fleet.keys.with_name(f"keys-{number}")))
        threads.append(threading.Thread(target=publish, args=(keys, bundles[number * 3 : number * 3 + 3])))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert len(served.client.status().bundles) == 9
    assert served.control.repository.targets.version == 1 + 9


def test_revoking_marks_every_lower_version(served: Served, make_bundle: Any) -> None:
    for version in (1, 2, 3):
        served.client.publish(make_bundle(version=version), served.fleet.keys)
    served.client.revoke("stop-go", 3, served.fleet.keys)
    assert {item.version: item.revoked for item in served.client.status().bundles} == {1: True, 2: True, 3: False}
    with pytest.raises(FleetError, match="revoked"):
        served.client.rollout_start("stop-go", 2)


def test_targets_that_name_a_bundle_never_uploaded_are_refused(served: Served) -> None:
    data = signed(served, NewBundle("stop-go", 1, "x86-64", "a" * 64, 10, "0"))
    answer = served.raw.post("/api/targets", content=data)
    assert answer.status_code == 404
    assert served.client.status().bundles == ()


@pytest.mark.parametrize("change", [{"version": 2}, {"model": "other"}, {"target": "raspberrypi4"}, {"size_bytes": 9}])
def test_targets_that_do_not_fit_the_uploaded_bundle_are_refused(
    served: Served, make_bundle: Any, change: dict[str, Any]
) -> None:
    opened = open_bundle(make_bundle())
    served.raw.put(f"/api/bundles/{opened.sha256}", content=opened.path.read_bytes()).raise_for_status()
    said = {"model": "stop-go", "version": 1, "target": "x86-64", "size_bytes": opened.size_bytes, **change}
    data = signed(served, NewBundle(sha256=opened.sha256, min_agent="0", **said))
    answer = served.raw.post("/api/targets", content=data)
    assert answer.status_code == 400
    assert msgspec.json.decode(answer.content, type=Problem).error == "BadBundleError"
    assert served.client.status().bundles == ()


def test_an_upload_is_refused_when_it_is_not_what_it_says(
    served: Served, make_bundle: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_bundle().read_bytes()
    wrong = served.raw.put(f"/api/bundles/{'a' * 64}", content=data)
    torn = served.raw.put(f"/api/bundles/{hashlib.sha256(data[:-9]).hexdigest()}", content=data[:-9])
    monkeypatch.setattr(artifacts, "MAX_BUNDLE_BYTES", 100)
    large = served.raw.put(f"/api/bundles/{hashlib.sha256(data).hexdigest()}", content=data)
    errors = [msgspec.json.decode(answer.content, type=Problem).error for answer in (wrong, torn, large)]
    assert errors == ["BadMessageError", "BadBundleError", "BadMessageError"]
    assert list(served.fleet.folder.incoming.iterdir()) == []
