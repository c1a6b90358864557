"""The view process: from the loops' taps to whoever opens the page, in the background of everything else."""

import os
import select
import threading

import msgspec

from edge_agent.link import BEAT_S, Beat, Link, die_with, start_child
from edge_agent.recording.messages import FromLoop, Life, Turn
from edge_agent.recording.outlet import Outlet
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
    outlets, decoder = [Outlet(tap) for tap in spec.taps], msgspec.msgpack.Decoder(FromLoop)
    lives: dict[int, Life] = {}
    while link.open:
        if link.beat_due():
            link.say(Beat())
        select.select([*(outlet.fileno() for outlet in outlets), link.fileno()], [], [], BEAT_S)
        link.orders()
        for outlet in outlets:
            for message in outlet.drain():
                match decoder.decode(message.data):
                    case Life() as life:
                        lives[life.life] = life
                    case Turn() as turn if turn.life in lives:
                        newest.take(lives[turn.life], turn)
    server.shutdown()


if __name__ == "__main__":
    start_child(ViewSpec, run)
