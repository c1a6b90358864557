"""Opens every page as a health check does, without a browser, and prints how many the dashboard still holds.

`python tests/fleet/abandoned_pages.py DATABASE_URL`
"""

import gc
import sys
import time
from functools import partial
from typing import cast

from fastapi import FastAPI
from nicegui import Client
from starlette.testclient import TestClient

from fleet.dashboard import mount
from fleet.dashboard.pages import Control
from fleet.dashboard.reader import StoreReader
from fleet.store import open_store

TIMES, PAGES = 10, ("/", "/device/car-1", "/events", "/rollouts")


def held() -> int:
    """Pages that nothing has let go of."""
    gc.collect()
    return sum(isinstance(one, Client) for one in gc.get_objects())


def main() -> None:
    """Print how many there were when all had been opened, and when their time was up."""
    app = FastAPI()
    mount(app, reader=StoreReader(open_store(sys.argv[1]), tuple), control=cast("Control", None))
    with TestClient(app, base_url="http://127.0.0.1") as web:
        for page in TIMES * PAGES:
            assert web.get(page).status_code == 200
        opened = held()
        assert web.portal is not None
        web.portal.call(partial(Client.prune_instances, client_age_threshold=0.0))
        for _ in range(100):
            if held() == 0:
                break
            time.sleep(0.05)
        print(opened, held())


if __name__ == "__main__":
    main()
