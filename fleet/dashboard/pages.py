"""The pages: a shell with the navigation, and a body that is drawn again once a second from the read model."""

import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from nicegui import run, ui

from edge.errors import EdgeError
from fleet.dashboard.device_view import device_view
from fleet.dashboard.events_view import events_view
from fleet.dashboard.fleet_view import fleet_view
from fleet.dashboard.header import STYLE, header
from fleet.dashboard.history_view import DEFAULT, REACHES, history_view
from fleet.dashboard.html import clock, esc
from fleet.dashboard.model import DevicePage, FleetPage, History
from fleet.dashboard.rollout_view import rollout_panel
from fleet.rollout_state import FINAL, RolloutState

REFRESH_S = 1.0


class Reader(Protocol):
    """Where the pages read from; called outside the event loop."""

    def fleet(self) -> FleetPage:
        """Everything, at most a second old."""

    def device(self, name: str) -> DevicePage | None:
        """One device in full; None when nobody knows it."""

    def history(self, name: str, reach: str) -> History | None:
        """One device over one of `REACHES`; None when nobody knows it."""


class Control(Protocol):
    """What the buttons call: the same client as the command line's."""

    def rollout_pause(self, rollout: str) -> object:
        """Stop ordering."""

    def rollout_resume(self, rollout: str) -> object:
        """Go on."""

    def rollout_abort(self, rollout: str) -> object:
        """End it, and bring its devices back."""


def add_pages(reader: Reader, control: Control, *, with_pictures: bool) -> None:
    """Register every page with NiceGUI; `with_pictures`: there is a page of a device's pictures to lead to."""

    @ui.page("/", title="Fleet · edgewright")
    async def fleet_page() -> None:
        async def draw(body: ui.html) -> None:
            body.set_content(fleet_view(await run.io_bound(reader.fleet)))

        await _live("fleet", draw)

    @ui.page("/device/{name}", title="Device · edgewright")
    async def device_page(name: str, span: str = DEFAULT) -> None:
        reach, shown = span if span in REACHES else DEFAULT, list[History]()

        async def draw(body: ui.html) -> None:
            page = await run.io_bound(reader.device, name)
            fleet = await run.io_bound(reader.fleet)
            body.set_content(device_view(page, fleet.now_s, with_pictures=with_pictures) if page else _unknown(name))

        async def draw_history(body: ui.html) -> None:
            history = await run.io_bound(reader.history, name, reach)
            if history is not None and shown != [history]:
                shown[:] = [history]
                body.set_content(history_view(history, reach))

        await _live("fleet", draw, draw_history)

    @ui.page("/events", title="Events · edgewright")
    async def events_page() -> None:
        async def draw(body: ui.html) -> None:
            body.set_content(events_view(await run.io_bound(reader.fleet)))

        await _live("events", draw)

    @ui.page("/rollouts", title="Rollouts · edgewright")
    async def rollouts_page() -> None:
        await _rollouts(reader, control)


async def _live(tab: str, *draws: Callable[[ui.html], Awaitable[None]]) -> None:
    """A page of drawings, one below the other; what did not change is not sent again."""
    with _shell(tab):
        bodies = [(draw, ui.html("", sanitize=False)) for draw in draws]

    async def draw_all() -> None:
        for draw, body in bodies:
            await draw(body)

    await draw_all()
    _repeat(draw_all)


async def _rollouts(reader: Reader, control: Control) -> None:
    """A panel and three buttons for each rollout; panels are added as rollouts appear."""
    panels: dict[str, Callable[[RolloutState], None]] = {}
    with _shell("rollouts"):
        empty = ui.html("", sanitize=False)
        stack = ui.element("div").classes("ew-stack")

    async def draw() -> None:
        page = await run.io_bound(reader.fleet)
        empty.set_content("" if page.rollouts else _no_rollout())
        for state in reversed(page.rollouts):
            if state.id not in panels:
                with stack:
                    panels[state.id] = _panel(control, state.id)
            panels[state.id](state)

    await draw()
    _repeat(draw)


def _panel(control: Control, rollout: str) -> Callable[[RolloutState], None]:
    """One rollout; newer ones are put first. Returns what updates it."""
    with ui.element("section").classes("ew-card") as panel:
        body = ui.html("", sanitize=False)
        with ui.element("div").classes("ew-actions") as actions:
            pause = _button("Pause", lambda: control.rollout_pause(rollout))
            resume = _button("Resume", lambda: control.rollout_resume(rollout))
            abort = _button("Abort and go back", lambda: control.rollout_abort(rollout))
    panel.move(target_index=0)

    def update(state: RolloutState) -> None:
        body.set_content(rollout_panel(state))
        actions.set_visibility(state.state not in FINAL)
        pause.set_visibility(state.state in {"APPROVED", "CANARY", "WAVE"})
        resume.set_visibility(state.state == "PAUSED")
        abort.set_visibility(state.state not in FINAL | {"ROLLING_BACK"})

    return update


def _button(text: str, act: Callable[[], object]) -> ui.button:
    """A button that calls the API, and says what came of it."""

    async def clicked() -> None:
        try:
            await run.io_bound(act)
        except EdgeError as exc:
            ui.notify(f"{exc.problem}: {exc.remedy}", type="negative")

    return ui.button(text, on_click=clicked).props("outline no-caps dense color=primary padding='4px 12px'")


def _shell(tab: str) -> ui.element:
    """Style, brand, navigation and clock; use as a context manager for the body."""
    ui.add_css(STYLE)
    ui.colors(primary="#2563a8")
    with ui.element("div").classes("ew") as shell:
        top = ui.html("", sanitize=False)

        def tick() -> None:
            top.set_content(header(tab, clock(time.time())))

        tick()
    _repeat(tick)
    return shell


def _repeat(draw: Callable[[], object]) -> None:
    """Draw once a second, beginning when a browser connects to the page that is being made.

    A timer made before waits for that for ever, and keeps the page: of a health check, or curl.
    Source: zauberzeug/nicegui, issue 5595.
    """
    timers: list[ui.timer] = []

    def start() -> None:
        if not timers:  # a browser that comes back has it
            timers.append(ui.timer(REFRESH_S, draw))

    ui.context.client.on_connect(start)


def _unknown(name: str) -> str:
    """A device nobody knows."""
    return (
        f'<div class="ew-empty"><h1>No device is called {esc(name)}</h1><p><a href="/">Back to the fleet</a></p></div>'
    )


def _no_rollout() -> str:
    """Before the first rollout."""
    return (
        '<div class="ew-empty"><h1>No rollout yet</h1><p>Start one with'
        " <code>edge fleet rollout start MODEL VERSION</code>.</p></div>"
    )
