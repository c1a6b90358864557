"""Differences between published versions: when they are made, signed, refused and dropped."""

import asyncio
import dataclasses
import hashlib
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from serving import Served, serving, signed

from edge.errors import (
    TrustError,
)
from edge_agent.disk import RealDisk, sha256_of
from edge_agent.update.delta import apply_delta
from edge_agent.update.download import Download
from edge_agent.update.folder_remote import FolderRemote
from edge_agent.update.journal import BundleRecord, DeltaRecord
from edge_agent.update.trust import Trust
from fleet import artifacts
from fleet.control import SWEEP_S
from fleet.deltas import GRACE_S, NewDelta
from fleet.repository import DeltaCustom, SignedDelta, signed_deltas
from fleet.served import find_served
from fleet.views import Order


def heavy(seed: int) -> bytes:
    """Weights of 30 kB, of which a seed decides 300 bytes."""
    return random.Random(0).randbytes(30_000) + random.Random(seed).randbytes(300)


def test_a_published_version_comes_with_the_shorter_ways_from_the_two_before_it(
    served: Served, make_bundle: Any
) -> None:
    pytest.importorskip("bsdiff4", reason="bsdiff4 is not installed: it comes with edgewright[fleet]")
    for version in (1, 2, 3, 4):
        bundle = make_bundle(version=version, model=heavy(version))
        new = served.client.publish(bundle, served.fleet.keys)
    assert [delta.from_version for delta in new.deltas] == [3, 2]
    deltas = signed_deltas(served.control.repository.targets)
    assert {path for path in deltas if "-4." in path} == {"stop-go/stop-go-3-4.delta", "stop-go/stop-go-2-4.delta"}
    for path, delta in deltas.items():
        assert (served.fleet.folder.artifacts / path).stat().st_size == delta.size_bytes < new.size_bytes / 2
        assert find_served(served.fleet.folder, f"artifacts/{path}")
    assert [item.version for item in served.client.status().bundles] == [1, 2, 3, 4]
    assert list(served.fleet.folder.incoming.iterdir()) == []
    served.client.revoke("stop-go", 2, served.fleet.keys)  # targets with differences can be signed on


def test_two_differences_of_the_same_bytes_are_both_in_place_after_one_upload(served: Served) -> None:
    """Versions that differ little have the same difference to a third: it was moved to the first name, then missed."""
    placed, data = artifacts.Artifacts(served.fleet.folder), b"the same way"
    sha256 = hashlib.sha256(data).hexdigest()

    async def chunks() -> AsyncIterator[bytes]:
        yield data

    asyncio.run(placed.receive_delta(sha256, chunks()))
    where: dict[str, Any] = {"from_sha256": "1" * 64, "to_sha256": "3" * 64}
    about: dict[str, Any] = {"model": "stop-go", "version": 3, "target": "x86-64", "min_agent": "0", "floor": 1}
    signed = [
        SignedDelta(f"stop-go/stop-go-{n}-3.delta", sha256, len(data), DeltaCustom(**about, **where, from_version=n))
        for n in (1, 2)
    ]
    placed.path(signed[0].path).parent.mkdir(parents=True)
    placed.place_deltas(signed)
    assert [placed.path(delta.path).read_bytes() for delta in signed] == [data, data]
    assert list(served.fleet.folder.incoming.iterdir()) == []


def test_a_device_makes_the_new_bundle_out_of_the_old_one_and_the_published_difference(
    served: Served, make_bundle: Any, tmp_path: Path
) -> None:
    pytest.importorskip("bsdiff4", reason="bsdiff4 is not installed: it comes with edgewright[fleet]")
    old, new = make_bundle(model=heavy(1)), make_bundle(version=2, model=heavy(2))
    first = served.client.publish(old, served.fleet.keys)
    served.client.publish(new, served.fleet.keys)
    disk, remote = RealDisk(), FolderRemote(served.fleet.folder.root)
    root_json = (served.fleet.folder.metadata / "1.root.json").read_text()
    trust = Trust(disk, tmp_path / "trust.json", root_json, remote)
    record = trust.find("stop-go", 2, target="x86-64", agent="0.1.0", have=[first.sha256])
    assert record.delta is not None
    assert record.delta.size_bytes < record.size_bytes / 10
    delta, part = tmp_path / "x.delta", tmp_path / "x.part"
    Download(disk, remote, record.delta, delta, block_bytes=3000).attempt()
    assert sha256_of(disk, delta) == record.delta.sha256
    apply_delta(disk, old, delta, part, size_bytes=record.size_bytes, step_bytes=1000)
    assert part.read_bytes() == new.read_bytes()


@dataclass
class Shed:
    """A device of python-tuf's client and the agent's own download, on version 1 and on its way to version 2."""

    trust: Trust
    remote: FolderRemote
    have: str
    """SHA-256 of the bundle that it runs."""
    record: BundleRecord

    def deltas(self, version: int) -> DeltaRecord | None:
        """The difference that signed metadata offer it now."""
        return self.trust.find("stop-go", version, target="x86-64", agent="0.1.0", have=[self.have]).delta


def on_its_way(served: Served, make_bundle: Any, folder: Path) -> Shed:
    first = served.client.publish(make_bundle(model=heavy(1)), served.fleet.keys)
    served.client.publish(make_bundle(version=2, model=heavy(2)), served.fleet.keys)
    remote = FolderRemote(served.fleet.folder.root)
    root_json = (served.fleet.folder.metadata / "1.root.json").read_text()
    trust = Trust(RealDisk(), folder / "trust.json", root_json, remote)
    record = trust.find("stop-go", 2, target="x86-64", agent="0.1.0", have=[first.sha256])
    return Shed(trust, remote, first.sha256, record)


def publish_more(served: Served, make_bundle: Any, *versions: int) -> None:
    for version in versions:
        served.client.publish(make_bundle(version=version, model=heavy(version)), served.fleet.keys)


def signed_paths(served: Served) -> set[str]:
    return set(signed_deltas(served.control.repository.targets))


def test_old_differences_are_signed_no_more_and_a_device_in_the_middle_of_one_still_gets_it(
    served: Served, make_bundle: Any, tmp_path: Path
) -> None:
    pytest.importorskip("bsdiff4", reason="bsdiff4 is not installed: it comes with edgewright[fleet]")
    device = on_its_way(served, make_bundle, tmp_path)
    assert device.record.delta is not None
    publish_more(served, make_bundle, 3, 4)
    assert "stop-go/stop-go-1-2.delta" in signed_paths(served)
    publish_more(served, make_bundle, 5, 6)
    assert signed_paths(served) == {f"stop-go/stop-go-{a}-{b}.delta" for b in (4, 5, 6) for a in (b - 2, b - 1)}
    assert device.deltas(2) is None, "whoever asks now is told of the whole bundle"

    file, part = served.fleet.folder.artifacts / device.record.delta.path, tmp_path / "x.delta"
    now_s = time.time()
    for later_s in (0.0, 1.0, GRACE_S - 2 * SWEEP_S):
        served.control.tick(now_s + later_s)
    Download(RealDisk(), device.remote, device.record.delta, part, block_bytes=3000).attempt()
    assert sha256_of(RealDisk(), part) == device.record.delta.sha256

    served.control.tick(now_s + GRACE_S + SWEEP_S)
    assert not file.exists()
    assert served.control.artifacts.deltas() == signed_paths(served)
    with pytest.raises(TrustError, match="NO_SUCH_VERSION"):  # what makes an agent fetch all of it: tests/agent/update
        Download(RealDisk(), device.remote, device.record.delta, tmp_path / "y.delta", block_bytes=3000).attempt()
    whole = device.trust.find("stop-go", 2, target="x86-64", agent="0.1.0", have=[device.have])
    Download(RealDisk(), device.remote, whole, tmp_path / "whole", block_bytes=3000).attempt()
    assert sha256_of(RealDisk(), tmp_path / "whole") == whole.sha256


def test_a_difference_that_a_rollout_or_an_order_still_leads_over_stays_signed(
    served: Served, make_bundle: Any, tmp_path: Path
) -> None:
    pytest.importorskip("bsdiff4", reason="bsdiff4 is not installed: it comes with edgewright[fleet]")
    device = on_its_way(served, make_bundle, tmp_path)
    served.client.enrol("car-1")
    rollout = served.client.rollout_start("stop-go", 2)
    publish_more(served, make_bundle, 3, 4, 5)
    assert device.deltas(2) == device.record.delta
    ended = served.client.rollout_abort(rollout.id)
    for version, more, left in ((2, 6, device.record.delta), (0, 7, None)):  # 0 withdraws the order
        served.control._store.save(ended, (Order("car-1", "stop-go", version),))
        publish_more(served, make_bundle, more)
        assert device.deltas(2) == left


def test_revoking_takes_the_differences_to_what_nobody_may_install_out_of_the_targets(
    served: Served, make_bundle: Any
) -> None:
    pytest.importorskip("bsdiff4", reason="bsdiff4 is not installed: it comes with edgewright[fleet]")
    publish_more(served, make_bundle, 1, 2, 3)
    served.client.revoke("stop-go", 3, served.fleet.keys)
    assert signed_paths(served) == {"stop-go/stop-go-1-3.delta", "stop-go/stop-go-2-3.delta"}


def test_after_a_restart_the_grace_goes_on_and_does_not_begin_again(fleet: Any, make_bundle: Any) -> None:
    pytest.importorskip("bsdiff4", reason="bsdiff4 is not installed: it comes with edgewright[fleet]")
    now_s, file = time.time(), fleet.folder.artifacts / "stop-go" / "stop-go-1-2.delta"
    with serving(fleet) as served:
        publish_more(served, make_bundle, 1, 2, 3, 4, 5)
        served.control.tick(now_s)
    with serving(fleet) as served:
        served.control.tick(now_s + GRACE_S - SWEEP_S)
        assert file.exists()
        served.control.tick(now_s + GRACE_S + SWEEP_S)
        assert not file.exists()


def test_no_difference_is_made_where_it_would_be_long_or_lead_to_another_target(
    served: Served, make_bundle: Any
) -> None:
    served.client.publish(make_bundle(model=random.Random(1).randbytes(30_000)), served.fleet.keys)
    other = served.client.publish(make_bundle(version=2, model=random.Random(2).randbytes(30_000)), served.fleet.keys)
    pi = served.client.publish(
        make_bundle(version=3, target="raspberrypi4", model=random.Random(2).randbytes(30_000)), served.fleet.keys
    )
    assert (other.deltas, pi.deltas) == ((), ())


def test_a_difference_is_not_made_from_a_bundle_that_is_not_what_was_signed(served: Served, make_bundle: Any) -> None:
    pytest.importorskip("bsdiff4", reason="bsdiff4 is not installed: it comes with edgewright[fleet]")
    served.client.publish(make_bundle(model=heavy(1)), served.fleet.keys)
    place = served.fleet.folder.artifacts / "stop-go" / "stop-go-1.edge"
    place.write_bytes(place.read_bytes()[:-1] + b"x")
    with pytest.raises(TrustError, match="not what was signed"):
        served.client.publish(make_bundle(version=2, model=heavy(2)), served.fleet.keys)


def test_a_difference_that_was_never_uploaded_or_is_replaced_is_refused(served: Served, make_bundle: Any) -> None:
    served.client.publish(make_bundle(), served.fleet.keys)
    new = served.client.publish(make_bundle(version=2), served.fleet.keys)
    third = dataclasses.replace(new, version=3, sha256="a" * 64, deltas=(NewDelta(1, "b" * 64, b"never sent"),))
    assert served.raw.post("/api/targets", content=signed(served, third)).status_code == 404
    assert served.raw.put(f"/api/deltas/{'a' * 64}", content=b"others").status_code == 400
    assert served.raw.put("/api/deltas/..", content=b"others").status_code == 404
    assert served.raw.get("/api/bundles/stop-go/9").status_code == 404
