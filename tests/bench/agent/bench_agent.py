# ruff: noqa: E402 - its folder's neighbours are found first
"""`make bench-agent`, or bench_agent.py docs/benchmarks [PART ...]: the real agent, its peers and its limits.

PARTs: overhead, jitter, deadman, swaps, ages; all by default. What a cell gave is kept in `.cache/bench-agent/cells`,
so that a run which was stopped goes on; delete a cell's .json to measure it again. Parts without a cell stay as the
page has them, where it is of such a machine. `--page` only writes the page from what is there, `--minutes N` (2) is
how long each rate of the ages runs, `--repetitions N` (100) how often each fault strikes. Half an hour on an idle
machine; nobody else should use it meanwhile.
"""

import argparse
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "tests" / "bench"))  # the machine is described as in the other benches
import ages
import deadman
import jitter
import overhead
import swaps
from prepare import prepare
from turns import load, machine
from write_page import Results, known, write

FOLDER = ROOT / ".cache" / "bench-agent"
PARTS = ("swaps", "jitter", "overhead", "deadman", "ages")


def main() -> None:
    """Measure what is not there yet, and write the page of all that is known."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that what runs is ended, too
    wanted = arguments()
    before, cells = load(), FOLDER / "cells"
    if not wanted.page:
        things = prepare(FOLDER / "things")
        run = {
            "overhead": lambda: overhead.measure(cells, things),
            "jitter": lambda: jitter.measure(cells, things),
            "deadman": lambda: deadman.measure(cells, things, wanted.repetitions),
            "swaps": lambda: swaps.measure(cells, things, swaps.SWAPS),
            "ages": lambda: ages.measure(cells, things, 60 * wanted.minutes),
        }
        for part in wanted.parts or PARTS:
            run[part]()
    results = Results(
        machine=machine(before),
        overhead=overhead.collect(cells),
        ages=ages.collect(cells),
        jitter=jitter.collect(cells),
        deadman=deadman.collect(cells), swaps=swaps.collect(cells),
    )  # fmt: skip
    write(results.over(known(wanted.docs)), wanted.docs)


def arguments() -> argparse.Namespace:
    """Of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("docs", type=Path)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS])
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--repetitions", type=int, default=deadman.REPETITIONS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
