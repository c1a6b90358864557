"""/pictures/DEVICE: asks the device once for each time the page is opened, and hands on what comes; nothing is kept.

It is no live page: a device answers slowly, notes who asked, and a picture of people is looked at on purpose. The
browser is told to keep nothing either.
"""

import asyncio
import re
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from edge.errors import BadMessageError, EdgeError, FileMissingError
from edge.kept import ASKED_PICTURES, read_picture
from edge.messages import KeptPicture, PictureList
from edge.topics import is_id
from fleet.dashboard.picture_view import failure, figure, gallery_head, no_figure, page_head, page_tail
from fleet.picture_line import Patience, PictureLine, Source
from fleet.problems import status_of

NEWEST = 12
WAIT_S = 6.0
"""How long a device may be silent while somebody looks at an empty page."""
AT_ONCE = 2
"""Pictures that are fetched from devices at the same time: each takes up to 40 MiB here."""
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def picture_route(source: Source) -> Route:
    """The page, for an application's routes."""
    busy = asyncio.Semaphore(AT_ONCE)

    async def page(request: Request) -> Response:
        device, newest = request.path_params["device"], _newest(request)
        line = PictureLine(source, device, Patience(WAIT_S, lambda _words: None))
        try:
            if not is_id(device):
                raise FileMissingError("nothing can be called like this", remedy="open a device from the first page")
            listed = await asyncio.to_thread(line.named, newest)
        except EdgeError as exc:
            body = page_head(device) + failure(exc.problem, exc.remedy) + page_tail()
            return HTMLResponse(body, status_of(exc), HEADERS)
        return StreamingResponse(_parts(line, listed, busy), media_type="text/html", headers=HEADERS)

    return Route("/pictures/{device}", page)


def _newest(request: Request) -> int:
    """`?newest=`; anything that is no sensible number is the default."""
    wanted = request.query_params.get("newest", "")
    return min(int(wanted), ASKED_PICTURES) if re.fullmatch("[1-9][0-9]{0,8}", wanted) else NEWEST


async def _parts(line: PictureLine, listed: PictureList, busy: asyncio.Semaphore) -> AsyncIterator[str]:
    """The page, a picture at a time. Who closes it is asked for no more."""
    yield page_head(line.device) + gallery_head(line.device, listed)
    for place, picture in enumerate(listed.pictures):
        try:
            async with busy:
                part = await asyncio.to_thread(_figure, line, picture)
        except EdgeError as exc:
            came = f"{place} of {len(listed.pictures)} came"
            yield f"</div>{failure(f'{exc.problem}; {came}', exc.remedy)}{page_tail()}"
            return
        yield part  # not while `busy`: a browser that takes it slowly must not keep others waiting
    yield ("</div>" if listed.pictures else "") + page_tail()


def _figure(line: PictureLine, picture: KeptPicture) -> str:
    try:
        data = line.whole(picture)
        return figure(data, read_picture(data))
    except FileMissingError:
        return no_figure(picture.name, "removed by the device meanwhile")
    except BadMessageError:
        return no_figure(picture.name, "no picture, or not what the device said")
