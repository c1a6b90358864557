"""`edge fleet ...`: thin commands. All but `init` and `serve` are clients of the service's API."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from edge import console
from fleet.where import HERE, Json, Where

if TYPE_CHECKING:
    from fleet.answers import FleetStatus
    from fleet.settings import ServiceSettings


def init_command(
    directory: Path, *, keys: Path, tenant: str = "main", host: str = "127.0.0.1", json: Json = False
) -> None:
    """Make a new fleet: its folder, its certificates, and its offline keys.

    Parameters
    ----------
    directory
        New folder of the fleet; it will be served.
    keys
        New folder for the private root, targets and CA keys; outside the served one, best on a disk you can take out.
    tenant
        Name of the fleet in every topic.
    host
        Name or address under which devices reach this machine.
    json
        Print one JSON object.
    """
    from fleet.initialise import init_fleet

    folder = init_fleet(directory, keys, tenant=tenant, host=host)
    text = (
        f"made the fleet {tenant} in {folder.root}\n"
        f"the offline keys are in {keys.resolve()}: keep them, back them up, do not serve them\n"
        f"next: edge fleet serve {directory}"
    )
    console.emit({"directory": str(folder.root), "keys": str(keys.resolve()), "tenant": tenant}, json=json, text=text)


def serve_command(
    directory: Path,
    *,
    broker: str | None = None,
    store: str | None = None,
    bind: str | None = None,
    http_port: int = 8443,
    mqtt_port: int = 8883,
    page_bind: str = "127.0.0.1",
    page_port: int = 8080,
    ingest_workers: int = 1,
    json: Json = False,
) -> None:
    """Run the service of a fleet until it is told to stop.

    Parameters
    ----------
    directory
        Folder that `edge fleet init` made.
    broker
        An MQTT broker of your own, mqtts://HOST:PORT; or mosquitto, or amqtt; by default what is installed.
    store
        Telemetry database: sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME.
    bind
        Address of the device side; by default loopback when the fleet's host is, else every address.
    http_port
        HTTPS for devices and publishers; 0 takes any free port, as for the other two.
    mqtt_port
        MQTT over TLS.
    page_bind
        Address of the dashboard; other than loopback it is HTTPS and asks for the token.
    page_port
        The dashboard.
    ingest_workers
        Processes that store telemetry; more than one needs a broker with MQTT 5.
    json
        Print the URLs as one JSON object once everything answers.
    """
    from fleet.service import Options, serve, stop_on_signals

    options = Options(
        broker=broker,
        store=store,
        bind=bind,
        http_port=http_port,
        mqtt_port=mqtt_port,
        page_bind=page_bind,
        page_port=page_port,
        ingest_workers=ingest_workers,
    )

    def ready(settings: "ServiceSettings") -> None:
        urls = {"page": settings.page_url, "http": settings.http_url, "mqtt": settings.mqtt_url}
        text = f"fleet ready: page {settings.page_url}  devices {settings.mqtt_url} {settings.http_url}"
        console.emit({**urls, "broker": settings.broker, "directory": str(directory.resolve())}, json=json, text=text)

    serve(directory, options, ready, stop_on_signals())


def enrol_command(
    device: str, *, output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None, where: Where = HERE,
    json: Json = False,
) -> None:  # fmt: skip
    """Admit a device, or replace its credential, and write the one file it needs.

    Parameters
    ----------
    device
        Name of the device.
    output
        File to write; by default DEVICE.enrol. It holds a password: move it, do not copy it.
    where
        The service to talk to.
    json
        Print one JSON object.
    """
    from fleet.enrol import enrol

    with where.client() as client:
        path, enrolment = enrol(client, device, output)
    result = {"device": device, "file": str(path), "mqtt_url": enrolment.mqtt_url, "http_url": enrolment.http_url}
    console.emit(result, json=json, text=f"wrote {path}: move it to {device}, and name it in its configuration")


def publish_command(bundle: Path, *, keys: Path, min_agent: str = "0", where: Where = HERE, json: Json = False) -> None:
    """Sign a bundle and publish it; devices get it only through a rollout.

    Parameters
    ----------
    bundle
        NAME-VERSION.edge; the folder NAME-VERSION.report beside it is published for people.
    keys
        Folder with the offline keys; they stay on this side.
    min_agent
        Lowest release of the agent that can run it.
    where
        The service to talk to.
    json
        Print one JSON object.
    """
    with where.client(keys) as client:
        new = client.publish(bundle, keys, min_agent=min_agent)
    deltas = {str(delta.from_version): len(delta.data) for delta in new.deltas}
    result = {"model": new.model, "version": new.version, "target": new.target, "sha256": new.sha256, "deltas": deltas}
    start = f"edge fleet rollout start {new.model} {new.version}"
    shorter = "".join(
        f"\nfrom version {version} a device fetches {100 * size / new.size_bytes:.0f} % of it"
        for version, size in deltas.items()
    )
    text = f"published {new.model} {new.version} for {new.target}{shorter}\nnext: {start}"
    console.emit(result, json=json, text=text)


def export_command(
    folder: Path,
    *,
    model: str,
    version: int | None = None,
    device: str | None = None,
    where: Where = HERE,
    json: Json = False,
) -> None:
    """Copy what a device needs to update without a network: signed metadata, and bundles of one model.

    On the device: edge update FOLDER STATE_DIR. The signatures say until when the copy may be used.

    Parameters
    ----------
    folder
        Folder or mounted stick; made if it is not there. What another export left in it stays.
    model
        Name of the model.
    version
        Only this version; by default the newest one of each target.
    device
        Only what this device is ordered to run.
    where
        The fleet's folder on this machine: --dir.
    json
        Print one JSON object.
    """
    from fleet.config import FleetFolder
    from fleet.export import export, wanted_version

    if device is not None:
        with where.client() as client:
            version = wanted_version(client.status(), device, model)
    done = export(FleetFolder(where.directory.resolve()), folder, model, version)
    names = ", ".join(done.bundles)
    text = f"copied {names} to {folder}\nnext, until {done.valid_until}: edge update {folder} STATE_DIR on the device"
    console.emit(done, json=json, text=text)


def revoke_command(model: str, *, below: int, keys: Path, where: Where = HERE, json: Json = False) -> None:
    """Let no device install a version of a model under a floor any more; what runs goes on running.

    Parameters
    ----------
    model
        Name of the model.
    below
        The floor: lower versions are refused, also as a rollback.
    keys
        Folder with the offline keys.
    where
        The service to talk to.
    json
        Print one JSON object.
    """
    with where.client(keys) as client:
        client.revoke(model, below, keys)
    console.emit({"model": model, "floor": below}, json=json, text=f"no version of {model} under {below} is installed")


def status_command(*, where: Where = HERE, json: Json = False) -> None:
    """Show every device, rollout and bundle.

    Parameters
    ----------
    where
        The service to talk to.
    json
        Print one JSON object: devices, rollouts, bundles, warnings.
    """
    with where.client() as client:
        status = client.status()
    console.emit(status, json=json, text=_status_text(status))


def _status_text(status: "FleetStatus") -> str:
    lines = [f"warning: {warning}" for warning in status.warnings]
    for device in status.devices:
        models = ", ".join(
            f"{name} {model.version} {model.state}" + (f" (wanted {model.wanted})" if model.wanted else "")
            for name, model in device.models.items()
        )
        lines.append(f"{device.id}  {'online' if device.online else 'offline'}  {models or 'no model'}")
    lines += [f"{rollout.id}  {rollout.model} {rollout.version}  {rollout.state}" for rollout in status.rollouts]
    return "\n".join(lines) or "no device yet: edge fleet enrol DEVICE -o DEVICE.enrol"
