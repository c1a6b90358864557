"""`python run_agent.py CONFIG BUNDLE UPLINK RECORDS`: `edge run --unsigned`, with the records kept.

Without a fleet the records of loop and guard go to the file RECORDS; with one, to the module UPLINK, as always.
"""

import os
import sys
from pathlib import Path

from edge_agent.config import load_config
from edge_agent.plan import Boot
from edge_agent.supervisor import Supervisor


def main() -> None:
    """Run until SIGTERM."""
    config, bundle, uplink, records = sys.argv[1:]
    records_fd = os.open(records, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    Supervisor(load_config(Path(config)), Boot(Path(bundle)), records_fd=records_fd, uplink=uplink).run()


if __name__ == "__main__":
    main()
