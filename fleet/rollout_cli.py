"""`edge fleet rollout ...`: thin commands, clients of the service's API."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from edge import console
from edge.errors import BadConfigError, FileMissingError
from fleet.where import HERE, Json, Where

if TYPE_CHECKING:
    from fleet.plan import Plan
    from fleet.rollout_state import RolloutState

_MANY = Parameter(consume_multiple=True, negative="")


def start_command(
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


def status_command(rollout: str | None = None, *, where: Where = HERE, json: Json = False) -> None:
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


def pause_command(rollout: str, *, where: Where = HERE, json: Json = False) -> None:
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


def resume_command(rollout: str, *, where: Where = HERE, json: Json = False) -> None:
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


def abort_command(rollout: str, *, where: Where = HERE, json: Json = False) -> None:
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
