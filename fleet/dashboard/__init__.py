"""The dashboard: NiceGUI pages over a read model; made for a person who glances at it.

`mount(app, reader=..., control=...)` adds it to a FastAPI application.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI

    from fleet.dashboard.pages import Control, Reader


def mount(app: "FastAPI", *, reader: "Reader", control: "Control") -> None:
    """Serve the pages from the root of `app`; what `app` already serves keeps its paths."""
    from nicegui import ui

    from fleet.dashboard.pages import add_pages

    add_pages(reader, control)
    ui.run_with(app, title="edgewright", favicon="🚦", reconnect_timeout=10, show_welcome_message=False)
