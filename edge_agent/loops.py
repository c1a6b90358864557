"""The processes of the two loops, each in its place, and those that finish their last frame."""

import time
from collections.abc import Callable, Iterator

from edge_agent import link
from edge_agent.child import Child

END_S = 2.0
"""How long one may take to end before it is killed."""
Loop = Child[link.News]


class Loops:
    """Starts them and sends them away; who decides is the switchboard's business."""

    def __init__(self, make: Callable[[int], Loop]) -> None:
        """`make`: from a place, 0 or 1, to a process that was not started yet."""
        self._make = make
        self._places: list[Loop | None] = [None, None]
        self._leaving: list[tuple[float, Loop]] = []

    def __iter__(self) -> Iterator[Loop]:
        """Those in a place."""
        return (loop for loop in self._places if loop is not None)

    @property
    def leaving(self) -> list[Loop]:
        """Those that were asked to end and have not yet."""
        return [loop for _, loop in self._leaving]

    def place(self, child: object) -> int | None:
        """Where a process is, if it is one of them."""
        return next((place for place, loop in enumerate(self._places) if loop is child), None)

    def start(self, place: int) -> None:
        """Start a process for the model in this place."""
        loop = self._places[place] = self._make(place)
        loop.start()

    def dismiss(self, place: int | None) -> None:
        """Let the loop in this place, if there is one, finish its frame and end."""
        loop = self._places[place] if place is not None else None
        if loop is not None and place is not None:
            loop.ask_to_end()
            self._leaving.append((time.monotonic() + END_S, loop))
            self._places[place] = None

    def see_off(self, now_s: float) -> None:
        """Clean up after those that have ended, and kill those that should have."""
        for deadline_s, loop in self._leaving:
            if loop.ended() or now_s > deadline_s:
                loop.kill()
        self._leaving = [(deadline_s, loop) for deadline_s, loop in self._leaving if loop.pid]
