"""`edge demo NAME`: stories that run from beginning to end on this machine."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from edge.errors import BadArgumentError

NAMES = ("stop-go",)
Flag = Annotated[bool, Parameter(negative="")]


def demo_command(
    name: str,
    /,
    *,
    exit: Flag = False,  # noqa: A002 - the option is called --exit
    json: Flag = False,
    seed: int = 0,
    port: int = 0,
    directory: Annotated[Path | None, Parameter(name="--dir")] = None,
    control: Flag = False,
) -> None:
    """Run a demonstration from beginning to end: stop-go trains, compiles, rolls out, stops a bad model, and drives.

    Parameters
    ----------
    name
        Which one: stop-go.
    exit
        End when the story has ended; otherwise the fleet keeps running until Ctrl-C.
    json
        Print the whole story as one JSON object.
    seed
        Another number makes another story: other networks, other streets.
    port
        Port of the dashboard; any free one by default.
    directory
        Folder for everything the story makes; a temporary one, deleted at the end, by default.
    control
        Publish v1 again under a new number in place of v2; the gates must let it through.
    """
    if name not in NAMES:
        raise BadArgumentError(f"no demonstration {name!r}", remedy=f"there is {', '.join(NAMES)}")
    from demos.stop_go.main import run

    run(seed=seed, page_port=port, directory=directory, control=control, leave=exit, json=json)
