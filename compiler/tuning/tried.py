"""One plan that was built and measured on the select part, as a study keeps it."""

import msgspec

from edge.manifest import Latency


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker found out about one plan; nothing in it is of the report part."""

    plan: str
    """As `parse_plan` reads it."""
    sqnr_db: float
    """Of the outputs against the float model's, at most `CEILING_DB`."""
    drop: float
    """Of the metric, as a share; only the SQNR steers: on few samples it says more."""
    agreement: float
    cost: float
    """In the unit of the study: milliseconds on the target, or KiB."""
    size_bytes: int
    sha256: str
    """Of the file: plans whose passes did not help make the same one."""
    predicted: Latency | None
    """On the target's core; None where nobody can say, so for each mixed plan."""
    ms: float
    """Measured on the worker's processor, one thread, median; decides nothing."""
    core: str
    """That processor."""
    note: str
    """What became of each pass."""
