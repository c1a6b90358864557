"""`edge record`, `edge replay`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

Flag = Annotated[bool, Parameter(negative="")]


def record_command(
    config: Path,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
    seconds: float = 60.0,
    max_mib: int = 1024,
    unsigned: Path | None = None,
) -> None:
    """Run the agent, actuators and all, and record what its loop saw, when, and what it decided.

    Ends after so many seconds or bytes, with every actuator in its safe state. A file that is there is continued.

    Parameters
    ----------
    config
        The agent's configuration.
    output
        File to write.
    seconds
        Length of the recording, from its first decision on.
    max_mib
        Largest size of the file.
    unsigned
        Bundle to run as it is, past the fleet's signatures.
    """
    from edge.console import say
    from edge.errors import BadArgumentError
    from edge_agent.config import load_config
    from edge_agent.plan import Recording
    from edge_agent.recording.chunks import ChunkWriter
    from edge_agent.start import choose_boot, only_one
    from edge_agent.supervisor import Supervisor

    if not (0 < seconds < 1e6 and max_mib > 0):
        raise BadArgumentError("a recording needs a length and a size", remedy="give --seconds and --max-mib above 0")
    loaded = load_config(config)
    boot = choose_boot(loaded, unsigned)
    with only_one(loaded.state_dir):
        ChunkWriter(output).close()  # it can be written, and is no file of somebody else
        say(f"{loaded.device}: recording into {output}; Ctrl-C ends")
        Supervisor(loaded, boot, recording=Recording(output.resolve(), seconds, max_mib << 20)).run()


def replay_command(recording: Path, *, bundle: Path | None = None, json: Flag = False) -> int:
    """Decide a recording again and compare. Exit code 1: something came out otherwise.

    Parameters
    ----------
    recording
        File that `edge record` wrote.
    bundle
        Also run this bundle's model: the one that was recorded (bit for bit on the same runtime and kind of CPU), or
        another one, to see what it would have decided.
    json
        One object on stdout.
    """
    from edge.console import emit
    from edge_agent.recording.replay import describe, replay

    result = replay(recording, bundle)
    emit(result, json, lambda: describe(result))
    return 0 if result.same else 1
