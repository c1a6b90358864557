"""The systemd unit and the snippets beside it, as text. Source: systemd.exec(5), systemd.service(5), sysusers.d(5)."""

import math
import re
from dataclasses import dataclass
from pathlib import Path

from edge_agent.install.access import Access

NAME = "edge-agent"
WATCHDOG_S = 10
START_MARGIN_S = 60.0
"""What a start takes besides loading the model."""
_UNIT = """\
# Written by `edge agent install`; `edge agent uninstall` removes it.
[Unit]
Description=Edge agent {device}
After=network.target
StartLimitIntervalSec=300
StartLimitBurst=10
{limit_action}
[Service]
Type=notify
NotifyAccess=all
ExecStart={command}
User={user}
Group={user}
Restart=always
RestartSec=2
WatchdogSec={watchdog_s}
TimeoutStartSec={start_s}
TimeoutStopSec=20
KillMode=mixed
OOMPolicy=continue
MemoryMax={memory_mib}M
TasksMax=128
LimitCORE=0
UMask=0027
RuntimeDirectory={name}
RuntimeDirectoryMode=0750
ReadWritePaths={state_dir}
Environment=PYTHONDONTWRITEBYTECODE=1

NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome={protect_home}
PrivateTmp=yes
PrivateMounts=yes
{devices}
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
{realtime}
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RemoveIPC=yes
KeyringMode=private
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True, slots=True)
class Installation:
    """Everything that the texts depend on. Paths as they are on the device, absolute."""

    device: str
    user: str
    command: tuple[str, ...]
    state_dir: Path
    enrol: Path | None
    access: Access
    start_s: float
    """How long the first model may take to load."""
    memory_mib: int
    reads_home: bool
    """Something that it needs lies in somebody's home folder."""
    watches_hardware: bool
    realtime: int
    """Highest real-time priority that a process of ours takes; 0: none does."""
    reboot: bool
    """Restart the device, not only the service, when the service fails too often."""


def unit_text(one: Installation) -> str:
    """The service."""
    return _UNIT.format(
        name=NAME,
        device=one.device,
        limit_action="StartLimitAction=reboot\n" if one.reboot else "",
        command=" ".join(map(quote, one.command)),
        user=one.user,
        watchdog_s=WATCHDOG_S,
        start_s=math.ceil(one.start_s + START_MARGIN_S),
        memory_mib=one.memory_mib,
        state_dir=quote(str(one.state_dir)),
        protect_home="read-only" if one.reads_home else "yes",
        devices=_devices(one.access),
        realtime=f"LimitRTPRIO={one.realtime}" if one.realtime else "RestrictRealtime=yes",
    )


def sysusers_text(one: Installation) -> str:
    """The user and its groups; a group that this system lacks is made."""
    members = [f"m {one.user} {group}" for group in one.access.groups]
    return "\n".join([f'u {one.user} - "Edge agent" {_field(one.state_dir)} -', *members]) + "\n"


def tmpfiles_text(one: Installation) -> str:
    """The folder that survives a reboot; the credential is the user's alone."""
    lines = [f"d {_field(one.state_dir)} 0750 {one.user} {one.user} -"]
    if one.enrol is not None:
        lines.append(f"z {_field(one.enrol)} 0400 {one.user} {one.user} -")
    return "\n".join(lines) + "\n"


def udev_text(one: Installation) -> str:
    """Lets the user open the hardware watchdog; empty where none is configured."""
    return f'SUBSYSTEM=="watchdog", GROUP="{one.user}", MODE="0660"\n' if one.watches_hardware else ""


def quote(word: str) -> str:
    """One word of a unit file, taken literally: no variable, no specifier, no separator."""
    safe = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return safe if re.fullmatch(r"[\w@%+=:,./-]+", safe) else f'"{safe}"'


def _field(path: Path) -> str:
    text = str(path).replace("%", "%%")
    return (
        text if re.fullmatch(r"[\w@%+=:,./-]+", text) else '"{}"'.format(text.replace("\\", "\\\\").replace('"', '\\"'))
    )


def _devices(access: Access) -> str:
    """Without a device: a /dev of its own; else only the named ones, in the real /dev, where they may be plugged in."""
    if not access.devices:
        return "PrivateDevices=yes"
    return "\n".join(["DevicePolicy=closed", *(f"DeviceAllow={device}" for device in access.devices)])
