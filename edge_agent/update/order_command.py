"""`edge update FOLDER STATE_DIR`: leave an order for the running agent, and follow it to its end."""

import secrets
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from edge.errors import AgentError, BadArgumentError, FileMissingError, TrustError
from edge_agent.report import find_state_dir, look
from edge_agent.update.folder_remote import STAMP
from edge_agent.update.journal import RESTING
from edge_agent.update.local_orders import MAX_PATH, LocalAnswer, LocalOrder, answer_path, order_path, write_whole
from edge_agent.update.refusal import REMEDIES, code_of
from edge_agent.uplink.spec import UplinkStatus

ANSWER_S = 150.0
"""An agent that waits for its fleet looks at orders at least once a minute, and may be at a slow stick."""
LOOK_S = 0.2


class Updated(msgspec.Struct, frozen=True, kw_only=True):
    """What `edge update --json` prints."""

    model: str
    version: int
    state: str


def update_from(folder: Path, place: Path, version: int, show: Callable[[str], None]) -> Updated:
    """Order `version` (0: the newest) from `folder`; returns when it decides, or did already.

    `place`: the agent's state folder or its configuration. `show` is called with each state that the update comes to.

    Raises: `AgentError` without an agent, or when the version did not do; `TrustError` when it is refused.
    """
    path = str(folder.resolve())
    if not (folder / STAMP).is_file():
        raise FileMissingError(f"{folder} holds no copy of a fleet", remedy=f"edge fleet export {folder} --model M")
    if len(path) > MAX_PATH:
        raise BadArgumentError(f"the path of the folder is longer than {MAX_PATH} characters", remedy="move it up")
    report = look(place)
    if report.update is None or not report.update.fleet:
        raise AgentError("this agent is in no fleet", remedy="name an enrolment in its configuration: whom to believe?")
    answer = _answer(find_state_dir(place), LocalOrder(id=secrets.token_hex(8), folder=path, version=version))
    if answer.problem:
        raise _refused(answer.problem)
    return _follow(place, answer, show)


def _answer(state_dir: Path, order: LocalOrder) -> LocalAnswer:
    write_whole(order_path(state_dir), order)
    until_s = time.monotonic() + ANSWER_S
    while time.monotonic() < until_s:
        try:
            answer = msgspec.json.decode(answer_path(state_dir).read_bytes(), type=LocalAnswer)
        except FileNotFoundError:
            answer = None
        if answer is not None and answer.id == order.id:
            return answer
        time.sleep(LOOK_S)
    order_path(state_dir).unlink(missing_ok=True)
    raise AgentError("the agent is busy with another update", remedy="see `edge status`, and order again after it")


def _follow(place: Path, answer: LocalAnswer, show: Callable[[str], None]) -> Updated:
    shown = ""
    while True:
        update = look(place).update
        if update is None or update.wall_ns <= answer.wall_ns or update.attempted != answer.version:
            if update is not None and update.version == answer.version and update.wall_ns > answer.wall_ns:
                return Updated(model=update.model, version=update.version, state="COMMITTED")
            time.sleep(LOOK_S)
            continue
        if (line := f"{update.state} {update.reason}".strip()) != shown:
            show(line)
            shown = line
        if update.state in RESTING:
            return _ended(update)
        time.sleep(LOOK_S)


def _ended(update: UplinkStatus) -> Updated:
    if update.state == "COMMITTED":
        return Updated(model=update.model, version=update.attempted, state=update.state)
    raise _refused(update.reason)


def _refused(reason: str) -> TrustError | AgentError:
    code = code_of(reason)
    if code is None:
        return AgentError(reason or "the update was given up", remedy="see `edge status`")
    return TrustError(reason, remedy=REMEDIES[code])
