"""`edge agent install`, `edge agent uninstall`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from edge_agent.install.files import Written

Flag = Annotated[bool, Parameter(negative="")]
Words = Annotated[tuple[str, ...], Parameter(negative="")]


def install_command(
    config: Path,
    *,
    user: str = "edge",
    unsigned: Path | None = None,
    prefix: Path = Path("/"),
    python: Path | None = None,
    memory_mib: int = 512,
    device: Words = (),
    group: Words = (),
    reboot: Flag = False,
    dry_run: Flag = False,
    json: Flag = False,
) -> None:
    """Write a hardened systemd service that runs the agent, with a user of its own. Says which commands start it.

    Parameters
    ----------
    config
        The agent's configuration; /etc/edge is a good place.
    user
        Whom it runs as; made where it does not exist.
    unsigned
        Bundle to run past the fleet's signatures.
    prefix
        Root folder of the device's file system: an image that is being built.
    python
        Interpreter on the device that has edgewright; by default this one.
    memory_mib
        Above this the kernel ends the largest process, and the supervisor starts it again.
    device
        Device that the service may also open, as DeviceAllow= of systemd names it. Repeatable.
    group
        Group that the user also joins. Repeatable.
    reboot
        Restart the device when the service was started in vain ten times within five minutes.
    dry_run
        Only print what would be written.
    json
        One object on stdout.
    """
    from edge.console import emit
    from edge_agent.install import files, plan

    wishes = plan.Wishes(user, memory_mib, device, group, reboot)
    installation = plan.installation(config.resolve(), unsigned, prefix.resolve(), python, wishes)
    root = prefix.resolve()
    done = files.describe(installation, root) if dry_run else files.write(installation, root)
    emit(done, json, lambda: _text(done, "would write" if dry_run else "wrote", full=dry_run))


def uninstall_command(*, prefix: Path = Path("/"), json: Flag = False) -> None:
    """Remove the service; its user and its state folder stay.

    Parameters
    ----------
    prefix
        The one that it was installed with.
    json
        One object on stdout.
    """
    from edge.console import emit
    from edge_agent.install import files

    done = files.remove(prefix.resolve())
    emit(done, json, lambda: _text(done, "removed", full=False))


def _text(done: "Written", verb: str, *, full: bool) -> str:
    files = [f"{verb} {path}" + (f"\n\n{text}" if full else "") for path, text in done.files.items()]
    return "\n".join([*files, "now run:", *(f"  {command}" for command in done.next)])
