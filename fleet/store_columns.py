"""Columns that a database of an older release lacks: added when it is opened, so that its telemetry stays.

An older release still writes to a database with them, for each has a default.
"""

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from fleet import store_tables as t

LATER = (t.windows.c.model_scores,)
"""Newer than the first release of their table."""


def add_missing(engine: Engine) -> None:
    """Add those that are not there yet. Raises: DBAPIError where another process has just added the same one."""
    known = sa.inspect(engine)
    for column in LATER:
        if column.name in {each["name"] for each in known.get_columns(column.table.name)}:
            continue
        form = sa.schema.CreateColumn(column).compile(dialect=engine.dialect)
        with engine.begin() as link:
            link.execute(sa.text(f"ALTER TABLE {column.table.name} ADD COLUMN {form}"))
