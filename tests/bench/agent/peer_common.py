"""What every peer script needs, in its own environment: the frames, the stamps, and the result.

`python peer_X.py MODEL FRAMES FPS COUNT SIDE OUT`: COUNT frames, FPS a second, and WARM_UP before them that do not
count. Only numpy is used here.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

WARM_UP = 30


class Job:
    """The arguments, and what was timed: nanoseconds from the frame at hand to the label known."""

    def __init__(self):
        model, frames, fps, count, side, out = sys.argv[1:]
        self.model, self.fps, self.count, self.side = model, float(fps), int(count), int(side)
        self._frames, self._out = np.load(frames), Path(out)
        self._seen = np.empty(self._frames.shape[1:], np.uint8)
        self.camera = self._seen.shape[:2]
        self.taken_ns = []
        self._due_ns = time.monotonic_ns()

    @property
    def total(self):
        """Frames to play."""
        return self.count + WARM_UP

    def wait(self):
        """Until the next frame is due."""
        self._due_ns += round(1e9 / self.fps)
        time.sleep(max(0, self._due_ns - time.monotonic_ns()) / 1e9)

    def frame(self, number):
        """Wait until frame `number` is due; the picture, written to memory just now as by a camera's driver."""
        self.wait()
        return self.shoot(number)

    def shoot(self, number):
        """The picture, valid until the next one."""
        self._seen[...] = self._frames[number % len(self._frames)]
        return self._seen

    def write(self, **more):
        """Leave the result."""
        self._out.write_text(json.dumps({"taken_ns": self.taken_ns[WARM_UP:], **more}))
