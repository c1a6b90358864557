"""Runs on the emulated board: `edge run CONFIG`, ended in order when stdin ends.

Stdin is a pipe from the test: it ends with the test's process, too, so that no agent outlives its test.
"""

import os
import signal
import subprocess
import sys
import threading


def end_with_stdin(agent: "subprocess.Popen[bytes]") -> None:
    """Wait for the end of stdin, then say SIGTERM."""
    while os.read(0, 1):
        pass
    agent.send_signal(signal.SIGTERM)


if __name__ == "__main__":
    agent = subprocess.Popen([sys.executable, "-m", "edge.cli", "run", sys.argv[1]], stdin=subprocess.DEVNULL)
    threading.Thread(target=end_with_stdin, args=(agent,), daemon=True).start()
    raise SystemExit(agent.wait())
