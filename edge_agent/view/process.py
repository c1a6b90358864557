"""The view process: from the loops' taps to whoever opens the page, in the background of everything else."""

import os
import threading

from edge_agent.link import Link, die_with, start_child
from edge_agent.recording.outlet import turns
from edge_agent.specs import ViewSpec
from edge_agent.view.server import Newest, make_server

_NICE = 10


def run(spec: ViewSpec, link: Link) -> None:
    """Main path: take in what was decided; a thread serves it."""
    die_with(spec.parent)
    os.nice(_NICE)
    newest = Newest(spec.device, spec.model)
    server = make_server(spec.host, spec.port, newest)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for life, turn in turns(spec.taps, link):
        newest.take(life, turn)
    server.shutdown()


if __name__ == "__main__":
    start_child(ViewSpec, run)
