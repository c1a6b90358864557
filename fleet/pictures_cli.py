"""`edge fleet pictures`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

from edge import console
from edge.errors import BadMessageError
from fleet.where import HERE, Json, Where


def pictures_command(
    device: str,
    *,
    last: int = 10,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    wait_s: Annotated[float, Parameter(validator=validators.Number(gte=0, lte=86_400))] = 60.0,
    where: Where = HERE,
    json: Json = False,
) -> int:
    """Fetch the newest pictures of which a device's model was not sure, if the device may send them.

    On the device: capture_store: {send: true}. Each file carries what the model made of it. Ends with 3 when a picture
    did not come as the device said that it is, with 24 when the device was silent for too long.

    Parameters
    ----------
    device
        Name of the device.
    last
        How many of the newest ones, at most 100.
    output
        Folder for them, made if it is not there; by default DEVICE-pictures. What lies there is not fetched again.
    wait_s
        How long the device may be silent: one that is offline is asked when it comes back.
    where
        The service to talk to.
    json
        Print one JSON object.
    """
    from fleet.picture_line import Patience
    from fleet.pictures import describe, fetch_pictures

    with where.client() as client, console.progress(f"pictures of {device}") as advance:
        done = fetch_pictures(
            client,
            device,
            output or Path(f"{device}-pictures"),
            newest=last,
            patience=Patience(wait_s, console.say),
            progress=advance,
        )
    console.emit(done, json=json, text=lambda: describe(done))
    return BadMessageError.exit_code if done.damaged else 0
