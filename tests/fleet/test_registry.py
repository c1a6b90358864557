"""Who may connect: password hashes that mosquitto itself understands, and the file they lie in."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from edge.enrolment import read_enrolment, write_enrolment
from edge.errors import BadArgumentError, BadConfigError, FileMissingError
from edge.messages import Desired, Wish
from fleet.certificates import make_certificates
from fleet.control_store import ControlStore
from fleet.passwords import PasswordFile, hash_password, read_passwords, verify, write_passwords
from fleet.plan import Plan
from fleet.registry import Registry
from fleet.rollout_state import RolloutState
from fleet.views import Order


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(ControlStore(tmp_path / "control.db"), tmp_path / "passwords", {".control": "hash"})


def test_enrolling_again_replaces_the_credential(registry: Registry, tmp_path: Path) -> None:
    file = PasswordFile(tmp_path / "passwords")
    old, other = registry.enrol("car-1"), registry.enrol("car-2")
    assert file.accepts("car-1", old)
    new = registry.enrol("car-1")
    assert new != old
    assert file.accepts("car-1", new)
    assert not file.accepts("car-1", old)
    assert file.accepts("car-2", other)
    assert registry.devices() == ["car-1", "car-2"]


def test_the_password_file_holds_no_password_and_is_for_its_owner(registry: Registry, tmp_path: Path) -> None:
    password = registry.enrol("car-1")
    text = (tmp_path / "passwords").read_text()
    assert password not in text
    assert text.splitlines()[0] == ".control:hash"
    assert (tmp_path / "passwords").stat().st_mode & 0o777 == 0o600
    assert password.encode() not in (tmp_path / "control.db").read_bytes()


@pytest.mark.parametrize("name", ["", ".control", "a/b", "a+", "#", "x" * 65, "car 1", "car\n", "a:b", "-a", "é"])
def test_a_name_that_could_mean_something_else_is_refused(registry: Registry, name: str) -> None:
    with pytest.raises(BadArgumentError):
        registry.enrol(name)
    assert registry.devices() == []


def test_hashes_are_those_of_mosquitto_passwd(tmp_path: Path) -> None:
    program = shutil.which("mosquitto_passwd")
    if program is None:
        pytest.skip("mosquitto_passwd is not installed: apt install mosquitto")
    file = tmp_path / "theirs"
    subprocess.run([program, "-b", "-c", str(file), "car-1", "secret"], check=True, capture_output=True)
    assert verify("secret", read_passwords(file)["car-1"])
    assert not verify("Secret", read_passwords(file)["car-1"])


@pytest.mark.parametrize(
    "hashed", ["", "$", "$7$101$%%$x", "$7$0$YQ==$YQ==", "$6$101$YQ==$YQ==", "$7$-1$YQ==$YQ==", "x" * 99]
)
def test_a_damaged_hash_admits_nobody(hashed: str) -> None:
    assert not verify("a", hashed)


def test_an_unknown_user_is_refused(tmp_path: Path) -> None:
    write_passwords(tmp_path / "p", {"car-1": hash_password("pw")})
    assert not PasswordFile(tmp_path / "p").accepts("car-2", "pw")
    assert not PasswordFile(tmp_path / "none").accepts("car-1", "pw")


# --- control.db --------------------------------------------------------------------------------


def state(name: str, **changes: object) -> RolloutState:
    return RolloutState(id=name, model="m", version=2, target="t", plan=Plan(), **changes)  # type: ignore[arg-type]


def test_orders_are_numbered_upwards_also_across_a_restart(tmp_path: Path) -> None:
    store = ControlStore(tmp_path / "control.db")
    store.save(state("r1"), [Order("a", "m", 2), Order("b", "m", 2)])
    store.close()
    store = ControlStore(tmp_path / "control.db")
    store.save(state("r1"), [Order("a", "m", 1)])
    assert store.desired() == {
        "a": Desired(models={"m": Wish(version=1, order=3)}), "b": Desired(models={"m": Wish(version=2, order=2)}),
    }  # fmt: skip
    assert store.desired(["b"]).keys() == {"b"}


def test_a_withdrawn_wish_is_still_told(tmp_path: Path) -> None:
    store = ControlStore(tmp_path / "control.db")
    store.save(state("r1"), [Order("a", "m", 2)])
    store.save(state("r1"), [Order("a", "m", 0)])
    assert store.desired() == {"a": Desired(models={})}


def test_a_rollout_and_its_orders_are_kept_together_or_not_at_all(tmp_path: Path) -> None:
    store = ControlStore(tmp_path / "control.db")
    store.save(state("r1", state="CANARY"), [Order("a", "m", 2)])
    broken = Order("b", "m", None)  # type: ignore[arg-type]
    with pytest.raises(Exception, match="NOT NULL"):
        store.save(state("r1", state="DONE"), [Order("a", "m", 1), broken])
    again = ControlStore(tmp_path / "control.db")
    assert [known.state for known in again.rollouts()] == ["CANARY"]
    assert [known.state for known in store.rollouts()] == ["CANARY"]
    assert again.desired()["a"].models["m"].version == 2


def test_rollouts_keep_their_order_and_get_new_names(tmp_path: Path) -> None:
    store = ControlStore(tmp_path / "control.db")
    names = []
    for _ in range(11):
        names.append(store.next_rollout())
        store.save(state(names[-1]))
    assert names == [f"r{number}" for number in range(1, 12)]
    assert [known.id for known in ControlStore(tmp_path / "control.db").rollouts()] == names


# --- enrolment and certificates ----------------------------------------------------------------


def test_an_enrolment_file_is_for_its_owner_and_comes_back(fleet_template: Any, tmp_path: Path) -> None:
    from edge.enrolment import Enrolment

    wanted = Enrolment(
        tenant="t", device="car-1", mqtt_url="mqtts://h:1", http_url="https://h:2", username="car-1", password="pw",
        ca_pem=(fleet_template.folder.tls / "ca.pem").read_text(), root_json="{}",
    )  # fmt: skip
    path = tmp_path / "car-1.enrol"
    path.write_text("old")
    path.chmod(0o644)
    write_enrolment(path, wanted)
    assert read_enrolment(path) == wanted
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["car-1.enrol"]


@pytest.mark.parametrize("data", [b"", b"{}", b"[" * 100_000, b"\xff\xfe", b'{"tenant": 1}'])
def test_a_damaged_enrolment_is_one_clear_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.enrol").write_bytes(data)
    with pytest.raises(BadConfigError):
        read_enrolment(tmp_path / "x.enrol")
    with pytest.raises(FileMissingError):
        read_enrolment(tmp_path / "missing.enrol")


@pytest.mark.parametrize("host", ["fleet.example", "10.0.0.7", "fd00::7", "localhost"])
def test_the_certificate_names_the_host_and_is_valid_for_a_clock_at_1970(host: str) -> None:
    import datetime

    from cryptography import x509

    made = make_certificates("acme", host, datetime.datetime.now(datetime.UTC))
    server, ca = x509.load_pem_x509_certificate(made.server), x509.load_pem_x509_certificate(made.ca)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    said = {str(name.value) for name in names}
    assert said == {"127.0.0.1", "localhost", host}
    server.verify_directly_issued_by(ca)
    for certificate in (server, ca):
        assert certificate.not_valid_before_utc.year == 1970
        assert certificate.not_valid_after_utc > datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=3650 * 2)
