"""Which broker is started, with what configuration; and the ports it would take."""

import socket
import stat
from pathlib import Path

import pytest

from edge.errors import BadArgumentError, MissingExtraError, PortTakenError
from fleet import broker
from fleet.broker import BrokerSettings, choose_kind, mosquitto_acl, mosquitto_conf, prepare, service_access
from fleet.ports import claim, is_loopback
from fleet.service import _external


def settings(folder: Path) -> BrokerSettings:
    return BrokerSettings(
        tenant="acme", bind="127.0.0.1", port=8883, certificate="c", key="k", passwords=str(folder / "p"),
        service=service_access(2),
    )  # fmt: skip


def test_amqtt_is_taken_where_mosquitto_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "mosquitto_path", lambda: None)
    assert choose_kind() == "amqtt"
    with pytest.raises(MissingExtraError, match="mosquitto is not installed"):
        choose_kind("mosquitto")
    monkeypatch.setattr(broker, "mosquitto_path", lambda: "/usr/sbin/mosquitto")
    assert (choose_kind(), choose_kind("amqtt")) == ("mosquitto", "amqtt")


def test_the_acl_confines_by_user_name_and_names_no_client_id(tmp_path: Path) -> None:
    lines = mosquitto_acl(settings(tmp_path)).splitlines()
    assert lines[:2] == ["pattern write edge/v1/acme/d/%u/up/#", "pattern read edge/v1/acme/d/%u/down/#"]
    assert "%c" not in "".join(lines)
    users = [line.removeprefix("user ") for line in lines if line.startswith("user")]
    assert users == [".control", ".chunks", ".ingest-1", ".ingest-2"]
    assert not [line for line in lines if line.startswith("topic") and "readwrite" in line]


def test_mosquitto_admits_nobody_without_a_name_and_takes_it_as_client_id(tmp_path: Path) -> None:
    lines = mosquitto_conf(tmp_path, settings(tmp_path)).splitlines()
    assert {"allow_anonymous false", "use_username_as_clientid true", "listener 8883 127.0.0.1"} <= set(lines)


def test_configuration_is_written_for_the_owner_only(tmp_path: Path) -> None:
    for kind in ("mosquitto", "amqtt"):
        assert prepare(kind, tmp_path, settings(tmp_path))  # type: ignore[arg-type]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"acl": 0o600, "mosquitto.conf": 0o600, "amqtt.json": 0o600}


@pytest.mark.parametrize("url", ["", "host", "http://host", "mqtts://", "mqtts://user:pw@host:1", "mqtts://host/path"])
def test_a_broker_of_ones_own_is_named_by_a_plain_url(url: str) -> None:
    with pytest.raises(BadArgumentError):
        _external(url)
    assert _external("mqtts://host:8883/") == "mqtts://host:8883"


def test_a_port_is_claimed_or_the_error_names_it_and_who_to_ask() -> None:
    assert claim("127.0.0.1", 0, "--http-port") > 0
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTakenError, match=str(port)) as caught:
            claim("127.0.0.1", port, "--http-port")
    assert "ss -ltnp" in caught.value.remedy
    assert "--http-port" in caught.value.remedy
    for bind, number in (("192.0.2.1", 0), ("127.0.0.1", 70_000), ("127.0.0.1", -1)):
        with pytest.raises(BadArgumentError):
            claim(bind, number, "--http-port")


@pytest.mark.parametrize(
    ("address", "verdict"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("fleet", False),
    ],
)
def test_only_loopback_is_loopback(address: str, verdict: bool) -> None:
    assert is_loopback(address) is verdict
