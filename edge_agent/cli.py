"""`edge run`, `edge status`, `edge update`, `edge schema`, `edge bench`."""

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


def schema_command() -> None:
    """Print the JSON Schema of the agent's configuration: editors then know every key, of every kind."""
    from edge.console import emit
    from edge_agent.schema import make_schema

    emit(make_schema(), json=True, text="")


def bench_command(
    bundle: Path,
    *,
    frames: int = 300,
    calibration: Path | None = None,
    config: Path | None = None,
    write: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Time the real agent on this machine, from frame to actuator, against the bare inference.

    With --config it chooses the settings of `loop` that pay here instead: threads, processor, priority, rehearsals.

    Runs the agent's own processes on noise of the model's size. All times in microseconds but `frame_age_ms`: `floor`
    is inference alone, `loop` from the newest frame read to the decision handed over, `overhead` the loop without its
    inference, `wake` from published to read, `frame_age` from captured to applied.

    Parameters
    ----------
    bundle
        Bundle to run.
    frames
        How many decisions to time; with --calibration, inferences of each model; with --config, decisions of each run.
    calibration
        File to write: time every model of the bundle alone instead, for `edge compile --calibration`. It holds the
        models, too.
    config
        The agent's configuration: choose its `loop` settings by running the agent with and without each. Takes
        minutes; nothing moves, and no sensor or camera is opened.
    write
        Put what was chosen into the file of --config.
    json
        One object on stdout.
    """
    from edge.console import emit
    from edge.errors import BadArgumentError

    if (calibration is not None) + (config is not None) > 1 or (write and config is None):
        raise BadArgumentError(
            "--write belongs to --config, and --calibration does without either", remedy="see `edge bench --help`"
        )
    if calibration is not None:
        from edge_agent import calibrate

        report = calibrate.calibrate(bundle, calibration, inferences=frames)
        emit(report, json, lambda: calibrate.describe(report))
        return
    if config is not None:
        from edge_agent import tune_loop

        tuned = tune_loop.tune_loop(bundle, config, frames=frames, write=write)
        emit(tuned, json, lambda: tune_loop.describe(tuned))
        return
    from edge_agent.bench import bench, describe

    result = bench(bundle, frames=frames)
    emit(result, json, lambda: describe(result))


def enrol_subject_command(
    bundle: Path,
    *,
    pictures: Path,
    output: Annotated[Path, Parameter(alias="-o")],
    cohort: Path | None = None,
    name: str = "",
    json: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Make the file by which the decider `identity` knows one subject, from pictures through a bundle.

    Says how alike the pictures are to each other, and those of others to them: the floor must lie above the latter.
    Enrol again for each new version of the bundle: another version makes other embeddings.

    Parameters
    ----------
    bundle
        Bundle whose first output is an embedding.
    pictures
        Folder with pictures of the subject, as the device's camera sees it.
    output
        File to write.
    cohort
        Folder with pictures of others.
    name
        Of the subject; by default that of the file.
    json
        One object on stdout.
    """
    from edge.console import emit
    from edge_agent.enrol_subject import describe, enrol

    enrolled = enrol(bundle, pictures, cohort, output, name or output.stem)
    emit(enrolled, json, lambda: describe(enrolled))
