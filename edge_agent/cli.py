"""`edge run`, `edge status`, `edge update`, `edge bench`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def run_command(
    config: Path,
    *,
    unsigned: Path | None = None,
    check: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Run a model on this device, as a configuration says: camera to decision to actuator.

    Ends with exit code 0 on SIGTERM, on Ctrl-C, and when a source that does not begin again has ended; every actuator
    is then in its safe state.

    Parameters
    ----------
    config
        YAML file; docs/agent.md explains every key.
    unsigned
        Bundle to run as it is, past the fleet's signatures. For work at the desk.
    check
        Only read the configuration, and say what is wrong with it.
    """
    from edge.console import emit, say
    from edge_agent.config import load_config

    loaded = load_config(config, strangers=check)
    if check:
        emit({"ok": True}, json=False, text=f"{config} is in order")
        return
    from edge_agent.start import choose_boot, only_one
    from edge_agent.supervisor import Supervisor

    boot = choose_boot(loaded, unsigned)
    with only_one(loaded.state_dir):
        say(f"{loaded.device}: running {boot.path.name if boot.path else 'no model yet'}; Ctrl-C ends")
        Supervisor(loaded, boot).run()


def status_command(state_dir: Path, *, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Say how the agent on this device is: model, last update and why, outbox, frame age, guard, clock.

    Parameters
    ----------
    state_dir
        The agent's `state_dir`, or its configuration file.
    json
        One object on stdout.
    """
    from edge.console import emit
    from edge_agent.report import describe, look

    report = look(state_dir)
    emit(report, json, lambda: describe(report))


def update_command(
    folder: Path, state_dir: Path, *, version: int = 0, json: Annotated[bool, Parameter(negative="")] = False
) -> None:
    """Update the agent that runs on this device from a folder or a USB stick that `edge fleet export` wrote.

    Everything is verified as if it came from the fleet, and the running version decides until the new one has proved
    itself. Ends when it has, or when it was refused.

    Parameters
    ----------
    folder
        The copy, for example a mounted stick.
    state_dir
        The agent's `state_dir`, or its configuration file.
    version
        Version to install; by default the newest one that is signed for this model and target. A lower one goes back.
    json
        One object on stdout.
    """
    from edge.console import emit, say
    from edge_agent.update.order_command import update_from

    done = update_from(folder, state_dir, version, say)
    emit(done, json, f"{done.model} version {done.version} decides")


def bench_command(bundle: Path, *, frames: int = 300, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Time the real agent on this machine, from frame to actuator, against the bare inference.

    Runs the agent's own processes on noise of the model's size. All times in microseconds but `frame_age_ms`: `floor`
    is inference alone, `loop` from the newest frame read to the decision handed over, `overhead` the loop without its
    inference, `wake` from published to read, `frame_age` from captured to applied.

    Parameters
    ----------
    bundle
        Bundle to run.
    frames
        How many decisions to time.
    json
        One object on stdout.
    """
    from edge.console import emit
    from edge_agent.bench import bench, describe

    result = bench(bundle, frames=frames)
    emit(result, json, lambda: describe(result))
