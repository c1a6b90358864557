"""Run the story in a folder of its own, say how it ended, and leave nothing behind."""

import sys
import tempfile
import threading
from contextlib import nullcontext
from pathlib import Path

from rich.console import Console
from rich.table import Table

from demos.stop_go.result import Told
from demos.stop_go.screen import Screen
from demos.stop_go.town import Town, terminated_as_interrupt
from edge import console


def run(*, seed: int, page_port: int, directory: Path | None, control: bool, leave: bool, json: bool) -> None:
    """Tell the story once; exits with 1 when a promise was not kept."""
    from demos.stop_go.photos import photo_folder
    from demos.stop_go.story import Story, tell

    photo_folder()  # says at once what is missing, before anything is started
    place = nullcontext(str(directory)) if directory else tempfile.TemporaryDirectory(prefix="stop-go-")
    with place as name, terminated_as_interrupt():
        folder = Path(name).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        with Town(folder, page_port=page_port) as town:
            told = tell(Story(folder, seed, Screen(), control=control), town)
            closing(told)
            console.emit(told, json=json, text="")
            if not leave:
                console.say(f"\nthe fleet keeps running: {told.dashboard}  (Ctrl-C ends it)")
                threading.Event().wait()
    if not told.kept:
        sys.exit(1)


def closing(told: Told) -> None:
    """The closing tables, on stderr."""
    shown = Console(stderr=True, highlight=False)
    shown.print()
    shown.print(_pace(told))
    shown.print()
    shown.print(_lights(told))
    shown.print()
    for sentence in told.broken:
        shown.print(f"[red]not kept:[/] {sentence}")
    if told.kept:
        shown.print(f"[green]every promise was kept[/]  {told.seconds:.0f} s")


def _pace(told: Told) -> Table:
    """How fast each car decided."""
    table = _table("car", "runs", "decisions/s", "frame age p50 / p99", "latency p50 / p99", "longest gap")
    for car in told.cars:
        age, latency = car.frame_age_ms, car.latency_ms
        table.add_row(
            car.device,
            f"v{car.version}",
            f"{car.decisions_per_s:.0f}",
            f"{age.p50:.1f} / {age.p99:.1f} ms",
            f"{latency.p50:.2f} / {latency.p99:.2f} ms",
            f"{car.max_decision_gap_s * 1000:.0f} ms",
        )
    return table


def _lights(told: Told) -> Table:
    """What each car did wrong, light by light."""
    lights = tuple(told.cars[0].lights) if told.cars else ()
    table = _table("false / missed GO", *lights)
    for car in told.cars:
        table.add_row(car.device, *(f"{s.false_go:.2%} / {s.missed_go:.2%}" for s in car.lights.values()))
    return table


def _table(*heads: str) -> Table:
    table = Table(box=None, padding=(0, 1))
    for head in heads:
        table.add_column(head, justify="left" if head == heads[0] else "right", no_wrap=True)
    return table
