"""The dashboard: NiceGUI pages over a read model; made for a person who glances at it.

`mount(app, reader=..., control=..., pictures=...)` adds it to a FastAPI application.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import FastAPI

    from fleet.dashboard.pages import Control, Reader
    from fleet.picture_line import Source


def mount(app: "FastAPI", *, reader: "Reader", control: "Control", pictures: "Source | None" = None) -> None:
    """Serve the pages from the root of `app`; what `app` already serves keeps its paths.

    `pictures`: asks devices for what they keep; whoever mounts it says who may open `/pictures/`. None: no such page.
    """
    from nicegui import ui

    from fleet.dashboard.pages import add_pages

    if pictures is not None:
        from fleet.dashboard.picture_page import picture_route

        app.router.routes.append(picture_route(pictures))
    add_pages(reader, control, with_pictures=pictures is not None)
    ui.run_with(app, title="edgewright", favicon="🚦", reconnect_timeout=10, show_welcome_message=False)
