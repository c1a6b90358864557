"""`edge fleet pictures`: from a real agent that was unsure, through a real service and broker, into a folder."""

import base64
import json
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import httpx
import msgspec
import numpy as np

MODEL, CAR = "colours", "car-1"
STORE = {"max_per_hour": 5, "masks": [[0, 0, 0.5, 1]]}


def ask(fleet: Any, *words: str) -> "subprocess.Popen[str]":
    """`edge fleet pictures`, started."""
    folder = ["-o", str(fleet.folder / "pictures"), "--json"]
    log = (fleet.folder / "asking.txt").open("w")
    command = [sys.executable, "-m", "edge.cli", "fleet", "pictures", *words, *folder]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)


def told(asking: "subprocess.Popen[str]") -> tuple[int, Any]:
    """Its exit code and its object."""
    text, _ = asking.communicate(timeout=120)
    return asking.returncode, json.loads(text)


def kept(fleet: Any) -> list[Path]:
    return sorted((fleet.state_dir(CAR) / "kept").glob("*.png"))


def _free_mib(telemetry: sqlite3.Connection) -> int:
    """Memory that was free on the device, as the fleet has it; 0 before it has."""
    row = telemetry.execute("SELECT min(memory_free_mib) FROM machines WHERE device = ?", (CAR,)).fetchone()
    return int(row[0] or 0)


def test_what_a_device_was_unsure_of_comes_when_it_is_asked_for_and_only_where_it_may(
    fleet: Any, bundle_maker: Callable[..., Path], waiting: Callable[..., None]
) -> None:
    fleet.publish(bundle_maker(1, gain=0.0))  # every colour is equally likely: always unsure
    agent = fleet.start_agent(CAR, capture_store=STORE | {"send": True})
    fleet.edge("fleet", "rollout", "start", MODEL, "1", "--dir", str(fleet.dir))
    waiting(lambda: len(kept(fleet)) >= 5, what="pictures")

    code, done = told(ask(fleet, CAR, "--last", "4", "--dir", str(fleet.dir)))
    assert (code, done["kept"], done["named"], done["gone"], done["damaged"]) == (0, 5, 4, [], [])
    newest = kept(fleet)[:0:-1]
    assert [Path(one["file"]).name for one in done["pictures"]] == [f"{CAR}-{path.name}" for path in newest]
    for one, path in zip(done["pictures"], newest, strict=True):
        assert Path(one["file"]).read_bytes() == path.read_bytes()
        assert one["remark"]["model"] == MODEL
        assert one["remark"]["score"] < 0.6
        picture = cv2.imread(one["file"])
        assert picture is not None
        assert not picture[:, :4].any()
        assert np.unique(picture[:, 4:]).tolist() == [0, 230]

    # the same on the dashboard, for whoever has the token; and how the machine was has come with the telemetry
    page = msgspec.json.decode((fleet.dir / "service.json").read_bytes())["page_url"]
    token = (fleet.dir / "admin.token").read_text().strip()
    assert httpx.get(f"{page}/pictures/{CAR}", timeout=60).status_code == 401
    seen = httpx.get(f"{page}/pictures/{CAR}?newest=3", timeout=60, auth=("me", token))
    shown = re.findall('src="data:image/png;base64,([^"]+)"', seen.text)
    assert [base64.b64decode(each) for each in shown] == [path.read_bytes() for path in newest[:3]]
    telemetry = sqlite3.connect(fleet.dir / "telemetry.db")
    waiting(lambda: _free_mib(telemetry) > 0, what="a minute of the machine")

    # while the device is away the question, from another machine, waits; it comes back with another configuration
    agent.send_signal(signal.SIGTERM)
    agent.wait(30)
    url = msgspec.json.decode((fleet.dir / "service.json").read_bytes())["http_url"]
    there = ["--fleet", url, "--token", str(fleet.dir / "admin.token"), "--ca", str(fleet.keys / "ca.pem")]
    asking = ask(fleet, CAR, "--wait-s", "120", *there)
    waiting(lambda: "asking again" in (fleet.folder / "asking.txt").read_text(), what="the first question to be lost")
    fleet.start_agent(CAR, capture_store=STORE)
    code, done = told(asking)
    assert code == 18, done
    assert "keeps its pictures to itself" in done["problem"]
    assert len(list((fleet.folder / "pictures").iterdir())) == 4
    looked = "SELECT count(*) FROM events WHERE kind = 'pictures' AND text LIKE '%4 of 5 were named'"
    waiting(lambda: telemetry.execute(looked).fetchone()[0] == 1, what="the event that says who looked")
