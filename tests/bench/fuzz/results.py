# ruff: noqa: E501 - it holds the lines of a page
"""What a run found: a line of JSON a case, written at once, so that a stop loses nothing; fuzz.json and fuzz.md."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from edge import errors


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How one case ended; `fault` is empty if it ended as it must."""

    name: str
    seed: str
    code: int
    fault: str
    wall_s: float
    cpu_s: float
    peak_mib: float
    said: str
    queued_s: float = 0.0
    """Of `wall_s`: ready to run, and no core was free."""

    @property
    def taken_s(self) -> float:
        """By the clock, had a core been free."""
        return self.wall_s - self.queued_s


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """All of fuzz.json."""

    models: int
    data: int
    wanted_models: int
    wanted_data: int
    faults: tuple[Outcome, ...]
    codes: dict[str, dict[str, int]]
    """Seed -> how it ended -> how many."""
    slowest: tuple[Outcome, ...]
    longest_s: float
    """By the clock, less the time in the queue for a core."""
    cpu_s: float
    """Of all cases."""
    peak_mib: float
    machine: str
    commit: str


def read(path: Path) -> dict[str, Outcome]:
    """Name -> outcome; the last line of a case counts, and one that was cut off by a stop does not."""
    found = {}
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            outcome = msgspec.json.decode(line, type=Outcome)
        except msgspec.DecodeError:
            continue
        found[outcome.name] = outcome
    return found


def append(path: Path, outcome: Outcome) -> None:
    """Add one line."""
    with path.open("ab") as file:
        file.write(msgspec.json.encode(outcome) + b"\n")


def sum_up(outcomes: Iterable[Outcome], *, models: int, data: int, machine: str, commit: str) -> Summary:
    """Count; `models` and `data` are how many cases a whole run has."""
    every = list(outcomes)
    codes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in every:
        codes[one.seed][_ending(one.code)] += 1
    return Summary(
        models=sum(one.name.startswith("model-") for one in every),
        data=sum(one.name.startswith("data-") for one in every),
        wanted_models=models,
        wanted_data=data,
        faults=tuple(one for one in every if one.fault),
        codes={seed: dict(counted.most_common()) for seed, counted in sorted(codes.items())},
        slowest=tuple(sorted(every, key=lambda one: -one.cpu_s)[:5]),
        longest_s=max((one.taken_s for one in every), default=0.0),
        cpu_s=round(sum(one.cpu_s for one in every), 1),
        peak_mib=max((one.peak_mib for one in every), default=0.0),
        machine=machine,
        commit=commit,
    )


def _ending(code: int) -> str:
    """Exit code and the name of the error, as docs/errors.md has it."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.EdgeError)]
    names = {kind.exit_code: kind.__name__ for kind in kinds}
    return "0 bundle written" if code == 0 else f"{code} {names.get(code, 'unknown')}"


def write_page(summary: Summary, folder: Path) -> None:
    """Write fuzz.json and fuzz.md."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fuzz.json").write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")
    (folder / "fuzz.md").write_text(_page(summary), "utf-8")


def _page(summary: Summary) -> str:
    endings = sorted({ending for counted in summary.codes.values() for ending in counted})
    return f"""# Damaged models and data

`make bench-fuzz` writes this page from `fuzz.json` beside it; do not edit. Each case is a whole seed file with one to eight damages (bits
flipped or bytes overwritten in place; or bytes cut out, doubled, cut off; every second time in the first 256 bytes, where sizes and types stand),
given to the real `edge compile --effort quick` in a process of its own. The number of a case decides its bytes. Half of the models still parse:
their shapes, types, operators, options, wiring, weights, scales or versions are wrong. Of the `.npz` files four in five are packed anew, so that their
checksum fits and the damage is met inside; half of the pictures are in a format without checksums.

A case is at fault if it hangs: if it has not ended after 60 s by the clock, less the time that it was ready to run and got no core (Linux
counts that, and a busy machine is no hang); it is killed then. It is also at fault if it prints a traceback or ends with an exit code that `docs/errors.md` does not know, or by a signal, if it
leaves a bundle behind after an error, or if the bundle claims what was not measured: another process opens the bundle, checks its golden samples,
runs its first variant on the report part of the data and counts what is right, which must be the figure in the manifest.

- Damaged models: **{summary.models}** of {summary.wanted_models}. Damaged data: **{summary.data}** of {summary.wanted_data}.
- At fault: **{len(summary.faults)}**.
- Longest: {summary.longest_s:.1f} s by the clock without the queue for a core. All cases: {summary.cpu_s:,.0f} s of processor time.
- Most memory: {summary.peak_mib:,.0f} MiB, of which about 400 MiB are the libraries that every case starts with.
- Machine: {summary.machine}. Code: {summary.commit}.

## How they ended

| damaged | {" | ".join(endings)} |
| --- | {" | ".join("---" for _ in endings)} |
{_rows(summary, endings)}

## Most processor time

| case | damaged | ended with | processor time | by the clock without the queue |
| --- | --- | --- | --- | --- |
{_slowest(summary.slowest)}
{_faults(summary.faults)}"""


def _rows(summary: Summary, endings: Sequence[str]) -> str:
    rows = summary.codes.items()
    return "\n".join(f"| {seed} | {' | '.join(str(found.get(each, 0)) for each in endings)} |" for seed, found in rows)


def _slowest(slowest: Sequence[Outcome]) -> str:
    return "\n".join(
        f"| {one.name} | {one.seed} | {_ending(one.code)} | {one.cpu_s:.1f} s | {one.taken_s:.1f} s |"
        for one in slowest
    )


def _faults(faults: Sequence[Outcome]) -> str:
    if not faults:
        return ""
    rows = "\n".join(f"| {one.name} | {one.seed} | {one.fault} |" for one in faults)
    return f"\n## At fault\n\n| case | damaged | fault |\n| --- | --- | --- |\n{rows}\n"
