"""`edge agent install` into a folder that stands for the device's root; systemd's own tools judge what was written."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge.errors import AgentError, BadArgumentError, BadConfigError
from edge_agent.install.unit import quote

WORST_EXPOSURE = 2.0
"""`systemd-analyze security` counts from 0 (nothing is exposed) to 10."""
CONFIG = """
device: robot-1
model: light
state_dir: /var/lib/edge
source: {kind: camera, device: 0}
decider: {kind: classify, go: [green]}
actuators: [{kind: led, pin: 17}]
"""


def edge(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A root folder with a configuration in it."""
    root = tmp_path / "image"
    (root / "etc" / "edge").mkdir(parents=True)
    for folder in (root / "etc", root / "etc" / "edge"):
        folder.chmod(0o755)
    config = root / "etc" / "edge" / "agent.yaml"
    config.write_text(CONFIG)
    config.chmod(0o644)
    return root


def install(image: Path, *more: object) -> subprocess.CompletedProcess[str]:
    return edge("agent", "install", image / "etc/edge/agent.yaml", "--prefix", image, *more)


def unit(image: Path) -> str:
    return (image / "etc/systemd/system/edge-agent.service").read_text()


def test_the_service_runs_the_configuration_as_it_lies_on_the_device(image: Path) -> None:
    done = install(image, "--python", "/opt/edge/bin/python", "--user", "robo")
    assert done.returncode == 0, done.stderr
    text = unit(image)
    assert "\nExecStart=/opt/edge/bin/python -P -m edge.cli run /etc/edge/agent.yaml\n" in text
    for line in ("Type=notify", "NotifyAccess=all", "User=robo", "ReadWritePaths=/var/lib/edge", "WatchdogSec=10"):
        assert f"\n{line}\n" in text
    assert str(image) not in text
    assert "systemctl enable --now edge-agent.service" in done.stdout
    sysusers = (image / "etc/sysusers.d/edge-agent.conf").read_text()
    assert sysusers.splitlines()[1:] == ["m robo video", "m robo gpio"]
    assert (image / "etc/tmpfiles.d/edge-agent.conf").read_text() == "d /var/lib/edge 0750 robo robo -\n"


def test_only_what_the_configuration_uses_may_be_opened(image: Path) -> None:
    install(image, "--device", "char-ttyUSB", "--group", "dialout")
    allowed = re.findall(r"(?m)^DeviceAllow=(.*)$", unit(image))
    assert allowed == ["char-video4linux rw", "char-gpiochip rw", "/dev/gpiomem rw", "char-ttyUSB rw"]
    assert "m edge dialout\n" in (image / "etc/sysusers.d/edge-agent.conf").read_text()
    (image / "etc/edge/agent.yaml").write_text(CONFIG.replace("camera, device: 0", "microphone"))
    install(image)
    assert "DeviceAllow=char-alsa rw\n" in unit(image)
    assert "m edge audio\n" in (image / "etc/sysusers.d/edge-agent.conf").read_text()
    (image / "etc/edge/agent.yaml").write_text(
        CONFIG.replace("camera, device: 0", "synthetic").replace("led, pin: 17", "print")
    )
    install(image)
    assert "DeviceAllow" not in unit(image)
    assert "PrivateDevices=yes" in unit(image)


def test_a_loop_with_a_real_time_priority_may_have_it_and_no_more(image: Path) -> None:
    assert install(image).returncode == 0
    assert "\nRestrictRealtime=yes\n" in unit(image)
    config = image / "etc/edge/agent.yaml"
    config.write_text(CONFIG + "loop: {priority: 40}\n")
    assert install(image).returncode == 0
    text = unit(image)
    assert "\nLimitRTPRIO=41\n" in text
    assert "RestrictRealtime" not in text


def test_a_hardware_watchdog_may_be_opened_by_the_user(image: Path) -> None:
    (image / "etc/edge/agent.yaml").write_text(CONFIG + "guard: {watchdog: /dev/watchdog}\n")
    install(image)
    assert "DeviceAllow=/dev/watchdog w\n" in unit(image)
    assert 'GROUP="edge"' in (image / "etc/udev/rules.d/60-edge-agent.rules").read_text()


def test_systemd_accepts_the_unit_and_finds_little_exposed(image: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    install(image, "--reboot")
    path = image / "etc/systemd/system/edge-agent.service"
    verified = subprocess.run([analyze, "verify", path], capture_output=True, text=True, check=False)
    assert (verified.returncode, verified.stdout) == (0, ""), verified.stderr
    assert "edge-agent" not in verified.stderr
    rated = subprocess.run([analyze, "security", "--offline=true", path], capture_output=True, text=True, check=False)
    found = re.search(r"exposure level for \S+: ([0-9.]+)", rated.stdout)
    assert found, rated.stdout + rated.stderr
    assert float(found[1]) <= WORST_EXPOSURE, rated.stdout


def test_the_snippets_make_the_user_and_the_folder(image: Path) -> None:
    sysusers, tmpfiles = shutil.which("systemd-sysusers"), shutil.which("systemd-tmpfiles")
    if sysusers is None or tmpfiles is None or os.geteuid() != 0:
        pytest.skip("needs root, systemd-sysusers and systemd-tmpfiles")
    install(image)
    for tool, more in ((sysusers, ()), (tmpfiles, ("--create",))):
        subprocess.run([tool, f"--root={image}", *more, "edge-agent.conf"], check=True, capture_output=True)
    user = next(line for line in (image / "etc/passwd").read_text().splitlines() if line.startswith("edge:")).split(":")
    assert (user[5], user[6]) == ("/var/lib/edge", "/usr/sbin/nologin")
    assert "video:" in (image / "etc/group").read_text()
    made = (image / "var/lib/edge").stat()
    assert (made.st_uid, made.st_mode & 0o777) == (int(user[2]), 0o750)


def test_a_dry_run_writes_nothing_and_shows_everything(image: Path) -> None:
    done = install(image, "--dry-run")
    assert "ProtectSystem=strict" in done.stdout
    assert not (image / "etc/systemd").exists()
    report = json.loads(install(image, "--dry-run", "--json").stdout)
    assert [Path(path).name for path in report["files"]] == ["edge-agent.service", *["edge-agent.conf"] * 2]
    assert report["next"][0] == "systemd-sysusers"


def test_uninstall_removes_what_was_installed_and_a_second_time_says_so(image: Path) -> None:
    before = sorted(path for path in image.rglob("*") if path.is_file())
    install(image)
    done = edge("agent", "uninstall", "--prefix", image)
    assert "systemctl disable --now edge-agent.service" in done.stdout
    assert sorted(path for path in image.rglob("*") if path.is_file()) == before
    assert edge("agent", "uninstall", "--prefix", image).returncode == AgentError.exit_code


def test_without_root_it_says_how(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_agent.install.files import demand_root

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    demand_root(image)
    with pytest.raises(AgentError, match="sudo"):
        demand_root(Path("/"))


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("--user", "Bad User"), BadArgumentError),
        (("--device", "video0"), BadArgumentError),
        (("--device", "/dev/x\nExecStartPre=/bin/evil"), BadArgumentError),
        (("--memory-mib", "5"), BadArgumentError),
    ],
)
def test_what_could_not_run_is_refused(image: Path, words: tuple[str, ...], error: type[AgentError]) -> None:
    done = install(image, *words)
    assert done.returncode == error.exit_code, done.stderr
    assert not (image / "etc/systemd").exists()


def test_a_configuration_that_the_user_could_not_read_is_refused_with_the_place(image: Path) -> None:
    (image / "etc/edge").chmod(0o700)
    done = install(image)
    assert done.returncode == BadConfigError.exit_code
    assert "chmod o+x" in done.stderr
    assert "/etc/edge" in done.stderr


def test_a_state_folder_that_is_gone_after_a_boot_is_refused(image: Path) -> None:
    (image / "etc/edge/agent.yaml").write_text(CONFIG.replace("/var/lib/edge", "/tmp/state"))
    done = install(image)
    assert done.returncode == BadConfigError.exit_code
    assert "temporary" in done.stderr


def test_every_word_of_a_command_is_taken_literally() -> None:
    assert [quote(word) for word in ("a/b.c", "a b", 'a"b', "50%", "$HOME", "a\\b")] == [
        "a/b.c", '"a b"', '"a\\"b"', "50%%", '"$$HOME"', '"a\\\\b"',
    ]  # fmt: skip


def test_as_a_service_the_run_folder_lies_where_systemd_wants_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_agent.status import remove_run_folder, run_folder

    place = tmp_path / "run"
    place.mkdir()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(place))
    assert run_folder(tmp_path / "state").resolve().parent == place
    remove_run_folder(tmp_path / "state")
    assert list(place.iterdir()) == []
