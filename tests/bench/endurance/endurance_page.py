# ruff: noqa: E501 - it holds the lines of a page
"""docs/benchmarks/endurance.md and .json, from the results that are kept in `.cache/endurance`."""

import json
import os
import platform
from collections import Counter
from typing import Any

from rig import ROOT, STEPS, remembered

FOLDER = ROOT / "docs" / "benchmarks"
WAYS = ("http", "mqtt", "stick", "difference")
BLOCK_BYTES, BESIDES_BYTES = 2 << 20, 300_000
"""What may be fetched twice; metadata, acknowledgements and TLS's own bytes, over both connections."""
Line = dict[str, Any]
HEAD = """\
# How much trouble an agent survives

The real agent, fleet and mosquitto on one machine; the programs are in `tests/bench/endurance`, each says at its top
how to run it. They keep every single result and go on where they were stopped: a table says how much was really run.
Figures of the machine are no more than that; what counts is that a column of faults holds zeros.
"""


def write_page() -> None:
    """Write both files: what was measured, and of the rest what the page's .json had, if it is of such a machine."""
    path = FOLDER / "endurance.json"
    known, found = json.loads(path.read_text()) if path.exists() else {}, measured()
    result = known | found if known.get("machine") == found["machine"] else found
    path.write_text(json.dumps(result, indent=1) + "\n")
    (FOLDER / "endurance.md").write_text(page(result))


def measured() -> Line:
    """What lies in `.cache/endurance`."""
    lines = {name: remembered(name) for name in ("kills", "full_disk", "soak", "store", "replays")}
    found = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "kills": counted(lines["kills"]) if lines["kills"] else None,
        "full_disk": lines["full_disk"],
        # the newest of the longest
        "soak": max(reversed(lines["soak"]), key=lambda line: line["minutes"], default=None),
        "store": lines["store"][-1:],
        "replays": list({line["kind"]: line for line in lines["replays"]}.values()),
    }
    return {name: value for name, value in found.items() if value}


def page(result: Line) -> str:
    """The page; a part that was never measured is not there."""
    writers = {"kills": kills, "full_disk": full_disk, "soak": soaked, "store": store, "replays": replayed}
    parts = [write(result[name]) for name, write in writers.items() if result.get(name)]
    return "\n\n".join([f"{HEAD}\n{result['machine']}.", *parts]) + "\n"


def counted(lines: list[Line]) -> Line:
    """Kills in numbers."""
    good = [line for line in lines if line["hit"] != "?"]
    fetched = [line for line in good if line["way"] in ("http", "mqtt") and line["orders"] == 1]
    too_much = [line for line in fetched if line["received"] > line["size"] + BLOCK_BYTES + BESIDES_BYTES]
    return {
        "all": len(lines),
        "aimed_at_steps": {way: dict(Counter(one["hit"] for one in good if one["wanted"] and one["way"] == way)) for way in WAYS},
        "at_random": {way: dict(Counter(one["hit"] for one in good if not one["wanted"] and one["way"] == way)) for way in WAYS},
        "ended": dict(Counter(one["ended"] for one in lines)),
        "never_came_right": [one["ended"] for one in lines if one["hit"] == "?"],
        "fetches": len(fetched), "fetches_of_more_than_a_block_twice": len(too_much),
        "most_fetched_twice": max((one["received"] - one["size"] for one in fetched), default=0),
        "fleet_was_not_told": sum(not one["told"] for one in good),
        "back_s_median": sorted(one["back_s"] for one in good)[len(good) // 2] if good else 0.0,
    }  # fmt: skip


def table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    """A table of the page."""
    lines = [" | ".join(map(str, row)) for row in (head, ["---"] * len(head), *rows)]
    return "\n".join(f"| {line} |" for line in lines)


def kills(found: Line) -> str:
    """`kill -9`, by step and way."""
    aimed, random = found["aimed_at_steps"], found["at_random"]
    hit = {state for kind in (aimed, random) for states in kind.values() for state in states}
    states = [*STEPS, *sorted(hit - {*STEPS})]
    rows = [
        (state, *(f"{aimed[way].get(state, 0)} + {random[way].get(state, 0)}" for way in WAYS),
         f"{sum(aimed[way].get(state, 0) for way in WAYS)} + {sum(random[way].get(state, 0) for way in WAYS)}")
        for state in states
    ]  # fmt: skip
    at_steps, at_random = (sum(sum(one.values()) for one in kind.values()) for kind in (aimed, random))
    ended = ", ".join(f"{number} {name}" for name, number in sorted(found["ended"].items(), key=lambda one: -one[1]))
    return "\n".join(
        [
            "## kill -9 at each step of an update, and at random moments",
            "",
            f"The agent's whole process group, {at_steps} times aimed at a step (wanted: 20 at each) and {at_random} times at a",
            "random moment between the order and just after the update (wanted: 200). What counts is the state that the journal",
            "shows after the kill: *aimed + random*. `difference`: a signed difference, over HTTP; rest states: the kill came",
            "after the end, or before the order was heard. Bundles of 6 MB (of differences: 1 MB) over lines of 12 MB/s; probation 0.7 s.",
            "",
            table(("State that was hit", *WAYS, "all"), rows),
            "",
            "After each kill, with nothing of the agent running, every slot that may run had the bytes that were published;",
            "the agent started again, decided with a verified bundle, and the update went on. How the killed updates ended:",
            f"{ended}. A rest state with a reason would be a clean end, too: there the next order must commit the version.",
            "",
            f"- Kills after which no verified model ran, or the update did not end: {len(found['never_came_right'])}.",
            f"- Updates over HTTP and MQTT, with one kill each: {found['fetches']}; of them fetched more than a block (2 MiB)",
            f"  twice: {found['fetches_of_more_than_a_block_twice']}. The most that came besides the bundle: {found['most_fetched_twice']:,} bytes, with metadata, acknowledgements and TLS.",
            f"- Times that the fleet did not come to say COMMITTED within a minute: {found['fleet_was_not_told']}.",
            f"- Kill to decisions: {found['back_s_median']} s (median).",
        ]
    )


def full_disk(lines: list[Line]) -> str:
    """No room from a step on."""
    rows = []
    for state in ("before it", *STEPS, "COMMITTED"):
        mine = [one for one in lines if one["hit"] == state]
        if mine:
            ends = Counter(f"{one['ended']} {one['reason']}".strip() for one in mine)
            rows.append(
                (
                    state,
                    len(mine),
                    ", ".join(f"{n} {end}" for end, n in ends.items()),
                    sum(one["after"] for one in mine),
                )
            )
    return "\n".join(
        [
            "## A disk that is full from a step on",
            "",
            "The state folder on a tmpfs of 64 MiB that is filled to the last byte while the uplink is held at a step. Decisions",
            "went on in every round; the agent was then started anew on the full disk, decided and reported; then room was made.",
            "Half of the rounds with the outbox on the same disk (`outbox: disk`), half with the default.",
            "",
            table(("Full from", "Rounds", "Ended", "Ordered again with room: committed"), rows),
        ]
    )


def soaked(found: Line) -> str:
    """Half an hour of trouble."""
    rows, happened = found["rows"], found["happened"]
    lines = [
        (name, one["processes"], one["samples"], one["rss_mib"], f"{one['growth_percent']:+.2f} %",
         _range(one["fds_first"]), _range(one["fds_last"]))
        for name, one in found["processes"].items()
    ]  # fmt: skip
    return "\n".join(
        [
            "## Soak",
            "",
            f"{found['minutes']:g} minutes; {happened.get('camera drops', 0)} times the camera hung up, {happened.get('broker kills', 0)} times the broker was killed,",
            f"{happened.get('pages opened', 0)} pages of the dashboard were opened; {happened.get('orders', 0)} updates were ordered, {found['committed'] - 1} of them committed ({found['rolled_back']} rolled back, {found['failed']} failed).",
            f"The fleet had {found['rows_before']:,} rows of another device before, and its web had been used: its caches were full.",
            "",
            f"- Rows of telemetry that the device made: {rows['made']}; lost: {rows['lost']}; doubled: {rows['doubled']}; dropped by the device: {rows['dropped']};",
            f"  unreadable for the fleet: {rows['quarantined']}. Compared by (outbox, number) with the device's own count, and by content.",
            f"- Processes that had to be started again: {', '.join(f'{n} {v}' for n, v in found['restarts'].items() if v) or 'none'}.",
            "",
            "Memory: resident set, read every 5 s from the 20th second of a process on; a straight line by least squares through",
            "all but the first fifth of the run, its rise over that time as a share of the mean. `loop` is the one that decides:",
            "each update brings a new process. Descriptors: in moments without an update, drop or broker's end in the last 20 s,",
            "first and last third of them.",
            "",
            table(("Process", "Lives", "Samples", "MiB", "Growth", "Descriptors, first", "last"), lines),
        ]
    )


def store(lines: list[Line]) -> str:
    """Where the fleet's memory ends."""
    looks = lines[-1]["looks"]
    shown = ", ".join(f"{look['rss_mib']:.1f} MiB at {look['rows']:,}" for look in looks[:4] + looks[-1:])
    return "\n".join(
        [
            "SQLite's page cache (16 MB a connection, `fleet/store.py`) fills as the database grows, and ends: a process that did",
            f"nothing but store rows of telemetry had {shown} rows.",
        ]
    )


def replayed(lines: list[Line]) -> str:
    """Recordings that are decided again."""
    rows = [
        (one["kind"], one["seconds"], one["turns"], one["lost"], one["changes"], one["decisions_differ"],
         one["inputs_differ"], one["outputs_differ"])
        if "turns" in one else (one["kind"], "-", "-", "-", "-", one["problem"].replace("\n", " "), "-", "-")
        for one in lines
    ]  # fmt: skip
    return "\n".join(
        [
            "## Recordings, decided again",
            "",
            "`edge record`, then `edge replay --bundle` on the same machine, bit for bit. Sources stand for the model's input,",
            "sensors (from rplidar on) beside pictures. *Changes*: how often the action changed, so that there was something to",
            "decide. Not here: `camera` and `picamera`, which need the hardware.",
            "",
            table(
                ("Kind", "Seconds", "Turns", "Lost", "Changes", "Decisions that differ", "Inputs", "Outputs"), rows
            ),
        ]
    )  # fmt: skip


def _range(values: list[int]) -> str:
    return "-" if not values else f"{values[0]}" if len(values) == 1 else f"{values[0]}-{values[-1]}"
