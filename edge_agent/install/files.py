"""Where the service's files lie, and how they are written and removed."""

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from edge.errors import AgentError, BadConfigError
from edge_agent.install.unit import NAME, Installation, sysusers_text, tmpfiles_text, udev_text, unit_text

UNIT = Path(f"etc/systemd/system/{NAME}.service")
SYSUSERS = Path(f"etc/sysusers.d/{NAME}.conf")
TMPFILES = Path(f"etc/tmpfiles.d/{NAME}.conf")
UDEV = Path(f"etc/udev/rules.d/60-{NAME}.rules")
_GONE_AT_BOOT = ("/tmp", "/var/tmp", "/run", "/dev/shm")  # noqa: S108 - where nothing of ours may lie


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What `install` and `uninstall` did, or would do."""

    files: dict[str, str]
    """Path to content; after `uninstall` the content is empty."""
    next: tuple[str, ...]
    """Commands that a person runs now."""


def texts(one: Installation) -> dict[Path, str]:
    """Every file by its place below the root; files without content are left out."""
    every = {
        UNIT: unit_text(one),
        SYSUSERS: sysusers_text(one),
        TMPFILES: tmpfiles_text(one),
        UDEV: udev_text(one),
    }
    return {place: text for place, text in every.items() if text}


def write(one: Installation, root: Path) -> Written:
    """Write every file below `root`. Raises: `AgentError` where only root may write."""
    demand_root(root)
    for place, text in texts(one).items():
        path = root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_text(text, encoding="utf-8")
        fresh.chmod(0o644)
        fresh.replace(path)
    return describe(one, root)


def describe(one: Installation, root: Path) -> Written:
    """What `write` writes."""
    follow = ("systemd-sysusers", f"systemd-tmpfiles --create /{TMPFILES}", "systemctl daemon-reload")
    reload = ("udevadm control --reload", "udevadm trigger --subsystem-match=watchdog") if one.watches_hardware else ()
    return Written(
        files={str(root / place): text for place, text in texts(one).items()},
        next=(*follow, *reload, f"systemctl enable --now {NAME}.service"),
    )


def remove(root: Path) -> Written:
    """Remove every file; the user and the state folder stay. Raises: `AgentError` if nothing is installed."""
    demand_root(root)
    found = [root / place for place in (UNIT, SYSUSERS, TMPFILES, UDEV) if (root / place).exists()]
    if not found:
        raise AgentError(f"no agent is installed below {root}", remedy="name the --prefix that it was installed with")
    for path in found:
        path.unlink()
    return Written(
        files={str(path): "" for path in found},
        next=(f"systemctl disable --now {NAME}.service", "systemctl daemon-reload"),
    )


def demand_root(root: Path) -> None:
    """Raises: `AgentError` unless we may write to the system's own folders, or to another root."""
    if root == Path("/") and os.geteuid() != 0:
        raise AgentError(
            "only root may install a service",
            remedy="sudo edge agent install ...; or look first: --dry-run; or write elsewhere: --prefix DIR",
        )


def on_device(path: Path, root: Path) -> Path:
    """The path as it is on the device whose root folder is `root`."""
    return Path("/") / path.relative_to(root) if root != Path("/") and path.is_relative_to(root) else path


def check_reach(path: Path, root: Path) -> None:
    """Raises: `BadConfigError` if the service's own user could not read `path`, or it would be gone after a boot."""
    check_lasting(path, root)
    there = on_device(path, root)
    for step in (*_steps(path, root), *_steps(path.resolve(), root)):
        wanted = stat.S_IXOTH if step.is_dir() else stat.S_IROTH
        if not step.stat().st_mode & wanted:
            raise BadConfigError(
                f"a user of its own could not read {there}, because of {on_device(step, root)}",
                remedy=f"move it (to /etc/edge, say), or: chmod o+{'x' if step.is_dir() else 'r'} {step}",
            )


def check_lasting(path: Path, root: Path) -> None:
    """Raises: `BadConfigError` if `path` would be gone after a boot, or is hidden from a service."""
    there = on_device(path, root)
    if any(there.is_relative_to(folder) for folder in _GONE_AT_BOOT):
        raise BadConfigError(f"{there} lies in a folder for temporary files", remedy="move it: to /etc/edge, say")


def command(config: Path, unsigned: Path | None, python: Path | None) -> tuple[str, ...]:
    """What the service runs. `python`: interpreter on the device; None: this one."""
    words = (str(python or sys.executable), "-P", "-m", "edge.cli", "run", str(config))
    return (*words, "--unsigned", str(unsigned)) if unsigned else words


def _steps(path: Path, root: Path) -> Iterator[Path]:
    """The path and every folder above it, up to `root`."""
    for step in (path, *path.parents):
        if step == root or not step.is_relative_to(root):
            return
        yield step
