"""The real uplink process, which besides keeps every record that it reads in the file that BENCH_RECORDS names."""

import os

from edge_agent.records import Applied, Decided, unpack
from edge_agent.uplink import process

_FD = os.open(os.environ["BENCH_RECORDS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def keep(record: bytes) -> Decided | Applied:
    """As `unpack`, after a copy to the file."""
    os.write(_FD, record)
    return unpack(record)


if __name__ == "__main__":
    process.unpack = keep
    process.main()
