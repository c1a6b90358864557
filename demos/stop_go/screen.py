"""The story on the terminal: steps as they end, and while one lasts what every car decides. Plain lines elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from demos.stop_go.versions import MODEL
from fleet.answers import FleetStatus
from fleet.rollout_state import RolloutState

TONES = {"pass": "green", "wait": "cyan", "stop": "bold red"}


class Screen:
    """Writes to stderr, so that `--json` keeps stdout to itself. Use as a context manager."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._live = Live(console=self._console, refresh_per_second=8, transient=True)
        self._began_s = self._step_s = time.monotonic()
        self._step = ""
        self._below: Table | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def address(self, page: str) -> None:
        """Say where the dashboard is."""
        self._console.print(f"        [bold]dashboard[/]  {page}")

    def begin(self, step: str) -> None:
        """A step begins."""
        self._step, self._step_s, self._below = step, time.monotonic(), None
        self._draw()

    def end(self, what: str, reason: str) -> None:
        """A step has ended; `reason` is what a person should know of it."""
        now_s = time.monotonic()
        line = Text.assemble(
            (f"{now_s - self._began_s:6.0f} s  ", "dim"), what, (f"  {now_s - self._step_s:.0f} s", "dim")
        )
        self._console.print(line)
        if reason:
            self._console.print(Text(f"          {reason}", "yellow"))
        self._step = ""

    def watch(self, status: FleetStatus, rollout: RolloutState | None) -> None:
        """Show the cars, and the gates of the wave at work."""
        table = Table.grid(padding=(0, 2))
        for device in status.devices:
            model = device.models.get(MODEL)
            where = f"v{model.version} {model.state.lower()}" if model else "no model yet"
            table.add_row("         ", device.id, where)
        for gate in rollout.waves[-1].gates if rollout and rollout.waves else ():
            value = "" if gate.value is None else f"{gate.value:.2f}"
            verdict = Text(gate.verdict, TONES[gate.verdict])
            table.add_row("         ", gate.name.replace("_", " "), f"{value} of {gate.limit:g}", verdict)
        self._below = table
        self._draw()

    def _draw(self) -> None:
        if not self._console.is_terminal:
            return
        spinner = Spinner("dots", Text(f" {self._step}", "bold"))
        self._live.update(Group(spinner, self._below) if self._below else spinner)
