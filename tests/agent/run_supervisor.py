"""Runs an agent whose uplink is the test: `python run_supervisor.py CONFIG [BUNDLE]`, else started as that uplink.

The uplink hands its descriptors (control line, records) to the socket named by $EDGE_TEST_LINE, and waits.
"""

import os
import signal
import socket
import sys
from pathlib import Path


def agent() -> None:
    """The supervisor."""
    from edge_agent.config import load_config
    from edge_agent.plan import Boot
    from edge_agent.supervisor import Supervisor

    boot = Boot(Path(sys.argv[2]) if len(sys.argv) > 2 else None)
    Supervisor(load_config(Path(sys.argv[1])), boot, uplink="run_supervisor").run()


def uplink() -> None:
    """What stands in the uplink's place."""
    import msgspec

    from edge_agent.uplink.spec import UplinkSpec

    spec = msgspec.json.decode(sys.argv[1], type=UplinkSpec)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
        line.connect(os.environ["EDGE_TEST_LINE"])
        socket.send_fds(line, [sys.argv[1].encode()], [spec.control_fd, spec.records_fd])
        os.close(spec.control_fd)
        signal.pause()


if __name__ == "__main__":
    uplink() if sys.argv[1].startswith("{") else agent()
