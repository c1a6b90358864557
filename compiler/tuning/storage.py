"""Opens the place where a study lies: a database by its URL, or a journal file. Optuna does the storing."""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.errors import MissingExtraError, StudyError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

GRACE_S = 120
"""A worker of a database that gives no sign of life for so long is dead. A converter may hold Python's lock for half a
minute, in which no sign is given."""
SIGNS = 8
"""Signs of life in that time."""
LOCK_WAIT_S = 60
"""How long a worker waits while another one writes to the same SQLite file."""
JOURNAL = "journal:///"
TRIES, PAUSE_S = 8, 0.25
"""Workers that open an empty database at once make its tables under each other's hands: the later one tries again."""
_REMEDY = "write --study sqlite:///FILE, postgresql://USER:PASSWORD@HOST/NAME or journal:///FILE"


def open_storage(url: str, *, grace_s: int = GRACE_S) -> "BaseStorage":
    """Open, or make, what lies at `url`.

    Raises: MissingExtraError without optuna or the database's driver; StudyError if it cannot be opened.
    """
    try:
        import optuna
    except ImportError as exc:
        raise MissingExtraError("studies need optuna", remedy="pip install 'edgewright[tune]'") from exc
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if url.startswith(JOURNAL):
        return _journal(Path(url.removeprefix(JOURNAL)))
    for _ in range(TRIES - 1):
        try:
            return _database(url, grace_s)
        except _racing():
            time.sleep(PAUSE_S)
    with telling(url):
        return _database(url, grace_s)


@contextmanager
def telling(url: str) -> Iterator[None]:
    """Turn what a database complains of into a StudyError that shows no password."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as exc:
        cause = exc.__cause__ if isinstance(exc, StorageInternalError) else exc
        reason = str(getattr(cause, "orig", None) or cause or exc).strip().splitlines()
        raise StudyError(
            f"the study at {shown(url)} cannot be read or written: {reason[0] if reason else type(exc).__name__}",
            remedy=f"check that it is there and that you may write to it; {_REMEDY}",
        ) from exc


def shown(url: str) -> str:
    """Write the URL without its password."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import SQLAlchemyError

    if url.startswith(JOURNAL):
        return url
    try:
        return make_url(url).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return "the URL given"


def _journal(path: Path) -> "BaseStorage":
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    try:
        return JournalStorage(JournalFileBackend(str(path)))
    except OSError as exc:
        raise StudyError(f"the journal {path} cannot be opened: {exc.strerror}", remedy="check the path") from exc


def _database(url: str, grace_s: int) -> "BaseStorage":
    from optuna.storages import RDBStorage
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except ArgumentError as exc:
        raise StudyError("what --study names is no URL", remedy=_REMEDY) from exc
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    options: dict[str, Any] = {"pool_pre_ping": True}
    if parsed.get_backend_name() == "sqlite":
        options["connect_args"] = {"timeout": LOCK_WAIT_S}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # heartbeats are marked as experimental
        try:
            return RDBStorage(
                parsed.render_as_string(hide_password=False),
                engine_kwargs=options,
                heartbeat_interval=max(1, grace_s // SIGNS),
                grace_period=grace_s,
            )
        except ImportError as exc:
            raise MissingExtraError(
                f"a study at {shown(url)} needs a driver: {exc.__cause__ or exc}",
                remedy="pip install 'edgewright[postgres]', or the driver of your database",
            ) from exc


def _racing() -> tuple[type[Exception], ...]:
    """What a database says to the second one who makes the same table."""
    from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

    return IntegrityError, OperationalError, ProgrammingError
