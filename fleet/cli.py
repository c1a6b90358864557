"""`edge fleet ...`: thin commands. All but `init` and `serve` are clients of the service's API."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from edge import console
from edge.errors import BadConfigError, FileMissingError

if TYPE_CHECKING:
    from fleet.answers import FleetStatus
    from fleet.client import FleetClient
    from fleet.plan import Plan
    from fleet.rollout_state import RolloutState
    from fleet.settings import ServiceSettings


@Parameter(name="*")
@dataclass(frozen=True)
class Where:
    """Which service a command talks to: of a folder on this machine, or at a URL."""

    directory: Annotated[
        Path, Parameter(name="--dir", help="Folder of a fleet on this machine; by default the current one.")
    ] = Path()
    fleet: Annotated[str | None, Parameter(help="URL of a service elsewhere: https://HOST:8443.")] = None
    token: Annotated[str | None, Parameter(help="With --fleet: the admin token, or the file that holds it.")] = None
    ca: Annotated[
        Path | None, Parameter(help="With --fleet: the fleet's CA certificate; KEYS/ca.pem where --keys is given.")
    ] = None

    @contextlib.contextmanager
    def client(self, keys: Path | None = None) -> Iterator["FleetClient"]:
        """Connect."""
        from fleet.client import FleetClient

        if self.fleet is None:
            made = FleetClient.local(self.directory)
        else:
            ca = self.ca or (keys / "ca.pem" if keys else None)
            made = FleetClient.remote(self.fleet, _token(self.token), ca)
        with made as client:
            yield client


HERE = Where()
Json = Annotated[bool, Parameter(name="--json", negative="")]
_MANY = Parameter(consume_multiple=True, negative="")


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


def rollout_start_command(
    model: str,
    version: int,
    *,
    plan: Path | None = None,
    waves: Annotated[tuple[float, ...], _MANY] = (),
    soak_s: float | None = None,
    wave_timeout_s: float | None = None,
    device: Annotated[tuple[str, ...], _MANY] = (),
    where: Where = HERE,
    json: Json = False,
) -> None:
    """Roll a published version out, wave by wave, each held by its gates.

    Parameters
    ----------
    model
        Name of the model.
    version
        Version to roll out.
    plan
        YAML file with waves, waiting times and limits (docs/fleet.md lists them all).
    waves
        Share of the fleet, or above 1 the number of devices, after each wave. Overrides the plan.
    soak_s
        Time between a committed wave and its verdict. Overrides the plan.
    wave_timeout_s
        A wave without a verdict after this time pauses. Overrides the plan.
    device
        Only these devices.
    where
        The service to talk to.
    json
        Print the rollout as one JSON object.
    """
    given = {"waves": list(waves) or None, "soak_s": soak_s, "wave_timeout_s": wave_timeout_s}
    chosen = read_plan(plan, {name: value for name, value in given.items() if value is not None})
    with where.client() as client:
        state = client.rollout_start(model, version, chosen, device)
    console.emit(state, json=json, text=_line(state))


def rollout_status_command(rollout: str | None = None, *, where: Where = HERE, json: Json = False) -> None:
    """Show one rollout with its waves and gates, or all in a line each.

    Parameters
    ----------
    rollout
        Its name, such as r1; all of them without it.
    where
        The service to talk to.
    json
        Print one JSON object.
    """
    with where.client() as client:
        if rollout is not None:
            state = client.rollout(rollout)
            console.emit(state, json=json, text="\n".join([_line(state), *_waves(state)]))
            return
        states = client.rollouts()
    console.emit({"rollouts": states}, json=json, text="\n".join(map(_line, states)) or "no rollout yet")


def rollout_pause_command(rollout: str, *, where: Where = HERE, json: Json = False) -> None:
    """Order nothing more until it is resumed; devices already ordered go on.

    Parameters
    ----------
    rollout
        Its name, such as r1.
    where
        The service to talk to.
    json
        Print the rollout as one JSON object.
    """
    with where.client() as client:
        state = client.rollout_pause(rollout)
    console.emit(state, json=json, text=_line(state))


def rollout_resume_command(rollout: str, *, where: Where = HERE, json: Json = False) -> None:
    """Let a paused rollout go on; its wave soaks again.

    Parameters
    ----------
    rollout
        Its name, such as r1.
    where
        The service to talk to.
    json
        Print the rollout as one JSON object.
    """
    with where.client() as client:
        state = client.rollout_resume(rollout)
    console.emit(state, json=json, text=_line(state))


def rollout_abort_command(rollout: str, *, where: Where = HERE, json: Json = False) -> None:
    """End a rollout and bring its devices back to their previous version.

    Parameters
    ----------
    rollout
        Its name, such as r1.
    where
        The service to talk to.
    json
        Print the rollout as one JSON object.
    """
    with where.client() as client:
        state = client.rollout_abort(rollout)
    console.emit(state, json=json, text=_line(state))


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


def read_plan(path: Path | None, given: dict[str, object]) -> "Plan":
    """A plan from a YAML file, with single values from the command line over it. Raises `BadConfigError`."""
    import msgspec
    import yaml

    from fleet.plan import Plan

    try:
        loaded = yaml.safe_load(path.read_text()) if path else {}
        return msgspec.convert({**(loaded or {}), **given}, Plan)
    except OSError as exc:
        raise FileMissingError(f"cannot read the plan {path}: {exc.strerror}", remedy="name a YAML file") from exc
    except (yaml.YAMLError, msgspec.ValidationError, TypeError) as exc:
        remedy = f"use these keys: {', '.join(Plan.__struct_fields__)}"
        raise BadConfigError(f"not a plan: {str(exc).splitlines()[0]}", remedy=remedy) from exc


def _token(given: str | None) -> str:
    if given is None:
        raise FileMissingError(
            "--fleet needs --token", remedy="pass --token FILE; it is DIR/admin.token on the service"
        )
    path = Path(given)
    return path.read_text().strip() if path.is_file() else given


def _line(state: "RolloutState") -> str:
    done = sum(wave.tally.committed for wave in state.waves)
    reason = f": {state.reason}" if state.reason else ""
    return f"{state.id}  {state.model} {state.version}  {state.state}  {done} of {len(state.scope)} committed{reason}"


def _waves(state: "RolloutState") -> list[str]:
    lines = []
    for wave in state.waves:
        lines.append(f"  wave {wave.number}: {wave.tally.committed} of {wave.tally.size} committed")
        lines += [f"    {gate.verdict:4}  {gate.name}: {gate.text}" for gate in wave.gates]
    return lines


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
