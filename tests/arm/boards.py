"""How a command gets onto an emulated board, and a board that runs the agent until it is told to stop."""

import json
import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
REPO = HERE.parents[1]
ON_BOARD = Path("/mnt/test")
"""Where a board sees its folder."""


def board_command(root: Path, cpu: str, folder: Path, *command: str, plugin: Path | None = None) -> list[str]:
    """Run `command` on a board: this checkout is /opt/edgewright there, and `folder` is /mnt/test.

    `plugin`: of the emulator; what make_plugin.sh made.
    """
    options = ["-b", f"{REPO}:/opt/edgewright", "-b", f"{folder}:{ON_BOARD}"]
    options += ["-p", str(plugin)] if plugin else []
    script = ["bash", str(HERE / "run_device.sh"), "-c", cpu, *options, str(root)]
    return [*script, "env", "PYTHONPATH=/opt/edgewright", "PYTHONDONTWRITEBYTECODE=1", *command]


class Board:
    """A board with an agent, from when it is switched on until it is told to stop."""

    def __init__(self, root: Path, cpu: str, folder: Path, *, within: tuple[str, ...]) -> None:
        """`folder`: holds agent.yaml; `within`: the command that starts it in its network."""
        self.folder = folder
        words = ["python3", "/opt/edgewright/tests/arm/run_until_told.py", str(ON_BOARD / "agent.yaml")]
        with (folder / "log.txt").open("w") as log:
            self._process = subprocess.Popen(
                [*within, *board_command(root, cpu, folder, *words)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,  # Ctrl-C is for the test, which then tells the board
            )

    @property
    def runs(self) -> bool:
        """Whether the agent has not ended."""
        return self._process.poll() is None

    @property
    def record(self) -> Path:
        """What its recorder wrote."""
        return self.folder / "record.txt"

    def uplink(self) -> dict[str, Any]:
        """What the agent says of its line to the fleet; empty before it speaks."""
        try:
            found: dict[str, Any] = json.loads((self.folder / "state" / "run" / "update.json").read_bytes())
        except FileNotFoundError:
            return {}
        return found

    def rows_made(self) -> tuple[str, int]:
        """Identity of its outbox, and the number of rows that this has made so far."""
        outbox = (self.folder / "state" / "run" / "outbox.sqlite").resolve()
        with closing(sqlite3.connect(f"file:{outbox}?mode=ro", uri=True)) as database:
            identity = database.execute("SELECT value FROM facts WHERE name = 'outbox_id'").fetchone()[0]
            made = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'rows'").fetchone()[0]
        return identity, made

    def stop(self) -> int:
        """Tell it to stop; returns the agent's exit code."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            return self._process.wait(90)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
