"""The story. MAIN PATH: `tell`: v1 reaches everybody, v2 is stopped at the canary, v3 reaches everybody and drives."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np

from demos.stop_go import result
from demos.stop_go.camera import make_stream, save_stream
from demos.stop_go.scenes import load_props
from demos.stop_go.score import Truth
from demos.stop_go.screen import Screen
from demos.stop_go.town import CARS, CYCLE_S, CYCLES, FPS, HOLD_S, PHASE_S, Town
from demos.stop_go.train import RECIPES
from demos.stop_go.versions import MODEL, Made, compile_version
from fleet.client import FleetClient
from fleet.plan import Plan
from fleet.rollout_state import FINAL, RolloutState
from fleet.store import open_store

T = TypeVar("T")
DRIVE_S = 150.0
"""Longest drive with v3 until every light has shown enough red and green."""
FIRST = Plan(waves=(1.0,), soak_s=PHASE_S, wave_timeout_s=120.0)
"""For the very first version, which has nothing to be compared with."""
WAVES = Plan(
    waves=(0.2, 0.6, 1.0),
    soak_s=CYCLE_S,
    wave_timeout_s=120.0,
    min_decisions=int(CYCLE_S * FPS),
    max_latency_ratio=2.0,
)
"""Canary, three of five, everybody; each soaks for a whole cycle of light. Five cars share this machine's cores with
a training, so that latencies say less than on five boards."""


@dataclass
class Story:
    """Where the story is told, and what it has come to."""

    folder: Path
    seed: int
    screen: Screen
    page_port: int = 0
    control: bool = False
    """Publish v1 once more as version 2: the gates must let it through."""
    truths: dict[str, Truth] = field(default_factory=dict)


def tell(story: Story, town: Town) -> result.Told:
    """Tell it from beginning to end; the town keeps running afterwards."""
    began_s = time.monotonic()
    with ThreadPoolExecutor(4) as pool, story.screen, town.closed_on_error():
        making = {version: pool.submit(_make, story, town, version) for version in (1, 2)}
        recordings = pool.submit(_record, story)
        client = _step(story, "start a fleet and five cars", lambda: _open(story, town, recordings))
        made = {1: _step(story, "train and compile v1", making[1].result)}
        making[3] = pool.submit(_make, story, town, 3)  # goes on from v1
        rollouts = {1: _roll_out(story, town, client, made[1], FIRST)}
        made[2] = _control(made[1]) if story.control else _step(story, "train and compile v2", making[2].result)
        rollouts[2] = _roll_out(story, town, client, made[2], WAVES)
        made[3] = _step(story, "train and compile v3", making[3].result)
        rollouts[3] = _roll_out(story, town, client, made[3], WAVES)
        since_ns = _switched_ns(rollouts[3])
        _drive(story, town, client, since_ns)
        told = _sum_up(story, town, made, rollouts, since_ns=since_ns, client=client)
        return msgspec.structs.replace(told, seconds=round(time.monotonic() - began_s, 1))


def _make(story: Story, town: Town, version: int) -> Made:
    """Train and compile a version, in a process of its own."""
    said = town.work("demos.stop_go.versions", str(story.folder), str(story.seed), str(version))
    return msgspec.json.decode(said.splitlines()[-1], type=Made)


def _control(first: Made) -> Made:
    """Compile v1 again, as version 2: the same model under a new number."""
    recipe = replace(RECIPES[0], version=2, title="control: v1 once more")
    bundle = Path(first.bundle).parent
    return compile_version(bundle, recipe, bundle / "v1.pt2", bundle / "v1.npz")


def _record(story: Story) -> dict[str, Path]:
    """Make every car's recording, from photographs and backgrounds that no training has seen."""
    props = load_props("test", seed=story.seed)
    paths = {}
    for number, car in enumerate(CARS):
        rng = np.random.default_rng([story.seed, 77, number])
        stream = make_stream(props, rng, fps=FPS, phase_s=PHASE_S, cycles=CYCLES)
        save_stream(stream, story.folder / car)
        paths[car] = story.folder / car / "frames.npy"
        story.truths[car] = Truth(stream.labels, stream.phases, FPS)
    return paths


def _open(story: Story, town: Town, recordings: Future[dict[str, Path]]) -> FleetClient:
    """Start the service, then the cars, and wait until all of them have reported."""
    client = town.open()
    story.screen.address(town.page())
    for car, recording in recordings.result().items():
        town.start_car(client, car, recording)
    town.wait(lambda: all(d.online and d.target for d in client.status().devices), "five cars to report")
    return client


def _roll_out(story: Story, town: Town, client: FleetClient, made: Made, plan: Plan) -> RolloutState:
    """Publish a version, roll it out, and watch until the rollout has ended or needs a person."""
    client.publish(Path(made.bundle), town.keys)
    state = client.rollout_start(MODEL, made.version, plan)
    story.screen.begin(f"roll v{made.version} out: {made.title}")
    limit = time.monotonic() + 300
    while state.state not in FINAL and time.monotonic() < limit:
        time.sleep(0.3)
        state = client.rollout(state.id)
        story.screen.watch(client.status(), state)
        if state.state == "PAUSED":
            break
    story.screen.end(f"v{made.version} {state.state.replace('_', ' ').lower()}", state.reason)
    return state


def _switched_ns(state: RolloutState) -> dict[str, int]:
    """By car: when all of its wave had committed to the last version (CLOCK_MONOTONIC)."""
    ahead_ns = time.time_ns() - time.monotonic_ns()
    return {
        car: round((wave.settled_s or wave.ended_s or time.time()) * 1e9) - ahead_ns
        for wave in state.waves
        for car in wave.devices
    }


def _drive(story: Story, town: Town, client: FleetClient, since_ns: dict[str, int]) -> None:
    """Let the cars drive until every light has shown enough red and green."""
    story.screen.begin("drive through daylight, dusk and lamp light")
    limit = time.monotonic() + DRIVE_S
    while time.monotonic() < limit:
        if all(result.enough(_lights(story, town, car, 3, since_ns), result.DRIVE_FRAMES) for car in CARS):
            break
        story.screen.watch(client.status(), None)
        time.sleep(PHASE_S)  # reading the records takes a core from the cars
    story.screen.end("drove long enough in every light", "")


def _lights(story: Story, town: Town, car: str, version: int, since_ns: dict[str, int]) -> dict[str, result.LightTold]:
    since = since_ns.get(car, time.monotonic_ns())
    return result.lights_of(town.record(car), story.truths[car], version=version, since_ns=since, hold_s=HOLD_S)


def _sum_up(
    story: Story,
    town: Town,
    made: dict[int, Made],
    rollouts: dict[int, RolloutState],
    *,
    since_ns: dict[str, int],
    client: FleetClient,
) -> result.Told:
    """Hold everything against the promises."""
    running = {d.id: d.models[MODEL].version for d in client.status().devices if MODEL in d.models}
    store = open_store(f"sqlite:///{town.fleet / 'telemetry.db'}")
    lights = {car: _lights(story, town, car, running.get(car, 0), since_ns) for car in CARS}
    cars = tuple(result.tell_car(car, running.get(car, 0), town.record(car), lights[car], store=store) for car in CARS)
    store.close()
    versions = {
        v: result.VersionTold(bench=made[v], rollout=result.tell_rollout(rollouts[v])) for v in sorted(rollouts)
    }
    broken = result.broken_promises(versions, cars, control=story.control)
    return result.Told(
        demo="stop-go",
        seed=story.seed,
        dashboard=town.page(),
        seconds=0.0,
        versions=tuple(versions.values()),
        cars=cars,
        kept=not broken,
        broken=broken,
    )


def _step(story: Story, what: str, work: Callable[[], T]) -> T:
    """Do one step, and say that it began and ended."""
    story.screen.begin(what)
    done = work()
    story.screen.end(what, "")
    return done
