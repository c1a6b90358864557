"""Runs on the emulated board: a few inferences of one variant between two markers that the plugin sees.

`python3 count_on_the_board.py BUNDLE FILE TIMES`; the plugin prints the counts on stderr.
"""

import os
import sys
from pathlib import Path

from edge.bundle import open_bundle
from edge.runtimes import open_session

MARKER = 0x7ED0
"""As in count_instructions.c."""


def mark() -> None:
    """Make a system call that means nothing; the process group does not exist."""
    try:
        os.getpriority(os.PRIO_PROCESS, MARKER)
    except ProcessLookupError:
        return


def main(path: Path, file: str, times: int) -> None:
    bundle = open_bundle(path)
    variant = next(each for each in bundle.manifest.variants if each.file == file)
    session = open_session(bundle, variant=variant)
    session.invoke()  # packs weights
    mark()
    for _ in range(times):
        session.invoke()
    mark()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
