import datetime
from pathlib import Path
from typing import Any

import pytest

from edge.errors import TrustError
from edge_agent.disk import RealDisk
from edge_agent.update.refusal import CODES, REMEDIES, WAITING, code_of, refusal
from edge_agent.update.trust import BUILT_S, Trust


class Device:
    """A device's trust, with a clock that can be set."""

    def __init__(self, folder: Path, repository: Any, shelf: Any) -> None:
        self.now_s = datetime.datetime.now(datetime.UTC).timestamp()
        self.make = lambda: Trust(
            RealDisk(), folder / "trust.json", repository.root_json, shelf, now_s=lambda: self.now_s
        )
        self.trust = self.make()

    def find(self, version: int, model: str = "light", *, target: str = "x86-64", agent: str = "0.1.0") -> Any:
        return self.trust.find(model, version, target=target, agent=agent)

    def refused(self, version: int, **named: Any) -> str | None:
        with pytest.raises(TrustError) as caught:
            self.find(version, **named)
        return code_of(caught.value.problem)


@pytest.fixture
def device(tmp_path: Path, repository: Any, shelf: Any) -> Device:
    repository.publish("light", 1, b"one" * 100)
    repository.publish("light", 2, b"two" * 100)
    return Device(tmp_path, repository, shelf)


def test_a_signed_version_is_found_with_its_length_and_hash(device: Device) -> None:
    record = device.find(2)
    assert (record.version, record.size_bytes, record.path) == (2, 300, "light/light-2.edge")
    assert len(record.sha256) == 64


def test_a_lower_version_at_or_above_the_floor_may_be_ordered(device: Device) -> None:
    assert [device.find(2).version, device.find(1).version] == [2, 1]


def test_a_version_that_was_never_signed_is_refused(device: Device, shelf: Any) -> None:
    shelf.files["artifacts/light/light-9.edge"] = b"forged"
    assert device.refused(9) == "NO_SUCH_VERSION"


def test_a_version_below_the_signed_floor_is_refused(device: Device, repository: Any) -> None:
    repository.publish("light", 3, b"three", floor=2)
    assert device.refused(1) == "BELOW_FLOOR"
    assert device.find(2).version == 2


def test_a_bundle_for_another_target_is_refused(device: Device, repository: Any) -> None:
    repository.publish("light", 3, b"three", target="raspberrypi4")
    assert device.refused(3) == "WRONG_TARGET"


def test_a_bundle_of_another_model_under_this_name_is_refused(device: Device, repository: Any) -> None:
    repository.publish("light", 3, b"three", model="sound")
    assert device.refused(3) == "WRONG_MODEL"


def test_a_bundle_that_needs_a_newer_agent_is_refused(device: Device, repository: Any) -> None:
    repository.publish("light", 3, b"three", min_agent="0.10.0")
    assert device.refused(3, agent="0.9.1") == "AGENT_TOO_OLD"
    assert device.find(3, agent="0.10.0").version == 3


def test_a_bundle_signed_without_our_data_is_refused(device: Device, repository: Any) -> None:
    repository.publish("light", 3, b"three", floor="none")
    assert device.refused(3) == "BAD_SIGNATURE"


def test_older_metadata_replayed_are_refused_also_after_a_restart(device: Device, repository: Any, shelf: Any) -> None:
    old = dict(repository.files)
    repository.publish("light", 3, b"three")
    device.find(3)
    shelf.files = old
    assert device.refused(2) == "METADATA_OLDER"
    device.trust = device.make()
    assert device.refused(2) == "METADATA_OLDER"


def test_metadata_without_a_signature_are_refused(device: Device, repository: Any, shelf: Any) -> None:
    import json

    stamped = json.loads(repository.files["metadata/timestamp.json"])
    shelf.files["metadata/timestamp.json"] = json.dumps(stamped | {"signatures": []}).encode()
    assert device.refused(2) == "UNSIGNED"


def test_metadata_signed_by_another_key_are_refused(device: Device, repository: Any, another_repository: Any) -> None:
    repository.sign(by={"timestamp": another_repository.keys["timestamp"]})
    assert device.refused(2) == "BAD_SIGNATURE"


def test_altered_metadata_are_refused(device: Device, repository: Any) -> None:
    name = f"metadata/{repository.number}.targets.json"
    repository.files[name] = repository.files[name].replace(b"light-2", b"light-7")
    assert device.refused(7) == "BAD_SIGNATURE"


def test_metadata_that_are_no_metadata_are_refused(device: Device, repository: Any) -> None:
    for garbage in (b"", b"[" * 5000, b"\xff\xfe", b"{}"):
        repository.files["metadata/timestamp.json"] = garbage
        assert device.refused(2) == "BAD_SIGNATURE"


def test_expired_metadata_delay_an_update(device: Device, repository: Any) -> None:
    repository.sign(days=-1)
    assert device.refused(2) == "METADATA_EXPIRED"
    assert "METADATA_EXPIRED" in WAITING
    repository.sign()
    assert device.find(2).version == 2


def test_a_clock_before_the_release_of_the_agent_starts_no_update(device: Device) -> None:
    device.now_s = 0.0
    assert device.refused(2) == "CLOCK_WRONG"
    assert not device.trust.clock_ok()
    device.now_s = BUILT_S + 1
    assert device.trust.clock_ok()


def test_a_clock_before_the_last_trusted_time_starts_no_update(device: Device) -> None:
    device.find(1)
    device.now_s -= 3 * 86400
    assert device.refused(2) == "CLOCK_WRONG"


def test_without_a_network_the_metadata_trusted_last_decide(device: Device, shelf: Any) -> None:
    device.find(1)
    shelf.down = True
    assert device.find(2).version == 2
    device.trust = device.make()
    assert device.find(2).version == 2
    assert device.refused(9) == "NETWORK"


def test_without_a_network_and_without_metadata_the_update_waits(device: Device, shelf: Any) -> None:
    shelf.down = True
    assert device.refused(2) == "NETWORK"


def test_a_damaged_file_of_trust_begins_again_at_the_enrolled_root(device: Device, tmp_path: Path) -> None:
    device.find(1)
    (tmp_path / "trust.json").write_bytes(b"\x00\xff torn")
    device.trust = device.make()
    assert device.find(2).version == 2


def test_every_code_has_a_remedy_and_is_found_in_its_reason() -> None:
    assert set(REMEDIES) == set(CODES)
    assert all(code_of(refusal(code, "so it is").problem) == code for code in CODES)
    assert code_of("no code at all") is None
