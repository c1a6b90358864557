"""The capture process: from a source into the ring, at a fixed rate, every frame stamped when it was captured.

It asks the source for exactly the model's size, and resizes only where the source cannot deliver it, so that the loop
need not; sound becomes features here, each frame of it once. A source that breaks off is opened again, with growing
pauses.
"""

import select
import time
from pathlib import Path

from edge_agent import sources
from edge_agent.cores import be_urgent
from edge_agent.link import BEAT_S, Act, CaptureBeat, Ended, Link, Rehearse, die_with, start_child
from edge_agent.plugins import load_class, read_options
from edge_agent.press import Press
from edge_agent.rate import Ratekeeper
from edge_agent.rehearsal import Rehearsal
from edge_agent.reopening import Reopening
from edge_agent.sources import Picture, Rows, Source
from edge_agent.specs import CaptureSpec, Chosen


def run(spec: CaptureSpec, link: Link) -> None:
    """Main path: wait for the tick, read a picture, put it into the ring, publish it."""
    die_with(spec.parent)
    if spec.priority is not None:
        be_urgent(spec.priority)
    camera = Reopening(open_source(spec.source), spec.fps)
    press = Press(spec)
    rate = Ratekeeper(spec.fps)
    ahead = Rehearsal(spec.rehearse_ms, (link.fileno(),), on=spec.rehearse_now)
    while link.open:
        rest(camera, press, rate, ahead)
        for order in link.orders():
            match order:
                case Act():
                    press.act(order)
                    rate.change(order.fps)
                case Rehearse(on=on):
                    ahead.allow(on=on)
        waiting = not camera.live and rate.wait_s(time.monotonic_ns()) > 0
        shot = None if waiting else camera.read(press)
        if isinstance(shot, Rows):  # each row counts, whatever the rate of the windows
            rate.due(time.monotonic_ns())
            press.publish_rows(shot)
        elif shot is not None and rate.due(time.monotonic_ns()):  # a live source is read at its own pace
            press.publish(shot)
        if link.beat_due():
            link.say(CaptureBeat(frame=press.frame, dropped=press.dropped, trouble=camera.trouble))
        if camera.ended:
            break
        if shot is None and not waiting:
            select.select([link.fileno()], [], [], camera.pause_s())
        elif isinstance(shot, Picture):
            camera.follow(shot)
    camera.close()
    if camera.ended:
        say_ended(press, link)


def rest(camera: Reopening, press: Press, rate: Ratekeeper, ahead: Rehearsal) -> None:
    """Until the tick; a source that sets the pace itself waits in its `read()`, and is rehearsed for before that."""
    if not camera.live:
        ahead.before(rate.next_ns, press.rehearse)
    elif ahead.ahead_ns and (next_ns := camera.next_ns):  # early enough for any: one that comes meanwhile waits
        ahead.before(next_ns - ahead.ahead_ns, press.rehearse)


def say_ended(press: Press, link: Link) -> None:
    """Nothing more will come; the supervisor decides what follows."""
    link.say(Ended())
    while link.open:
        select.select([link.fileno()], [], [], BEAT_S)
        link.orders()
        if link.beat_due():
            link.say(CaptureBeat(frame=press.frame, dropped=press.dropped, trouble="the source has ended"))


def open_source(chosen: Chosen) -> Source:
    """Make the configured source; it is not opened yet."""
    folder = Path(chosen.folder)
    cls = load_class(chosen.kind, sources.KINDS, sources.GROUP, folder)
    source: Source = cls(read_options(cls, chosen.options, folder=folder, where="source"))
    return source


if __name__ == "__main__":
    start_child(CaptureSpec, run)
