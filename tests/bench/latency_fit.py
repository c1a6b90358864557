"""Fits the published tables: writes compiler/latency/coefficients.toml and docs/benchmarks/latency.{md,json}.

python tests/bench/latency_fit.py docs/benchmarks
"""

import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import msgspec
import numpy as np
from latency_families import Family, borrowed, families, family, fitted_names
from latency_page import Bridged, Kin, Report, Scaled, Smaller, write_page

from compiler.latency.anchors import litert_anchors
from compiler.latency.bridge import Published, bridges, settle
from compiler.latency.fit import Matrix
from compiler.latency.predict import BEYOND
from compiler.latency.prices import Coefficients, Prices
from compiler.latency.spread import COVERAGE, calibrated_spread, combine, half_width, spread_of
from compiler.latency.tables import Run, Table, load_networks, load_ratios, load_tables
from edge.target import load_target

PACKAGE = Path(__file__).parents[2] / "compiler" / "latency"


def main(folder: Path) -> None:
    """Fit, and write all three files."""
    kinds = families(load_tables(), load_networks().network)
    coefficients = fit_all(kinds)
    (PACKAGE / "coefficients.toml").write_text(as_toml(coefficients), encoding="utf-8")
    report = Report(
        aim_covered=COVERAGE,
        aim_half_width=0.25,
        kin=[kin_check(one) for one in kinds],
        bridged=bridged_checks(all_published(kinds)),
        scaled=scaled_checks(coefficients),
        smaller=list(smaller_checks(kinds)),
        coefficients=coefficients,
    )
    write_page(report, folder)


def fit_all(kinds: list[Family]) -> Coefficients:
    """Prices of every run on a target of ours, and the bridges to our runtimes."""
    published = all_published(kinds)
    crossings = [bridge for bridge in bridges(published) if bridge.runtime in load_target(bridge.target).runtimes]
    several = [one for kind in kinds for one in kind.prices() if one.threads > 1]
    ours = [one for one in (*several, *published.prices) if one.target]
    ours.sort(key=lambda one: (one.board, -one.threads, one.dtype))
    return Coefficients(prices=tuple(ours), bridge=tuple(crossings))


def all_published(kinds: list[Family]) -> Published:
    """What bridges are made of."""
    single = sorted((one for kind in kinds for one in kind.prices() if one.threads == 1), key=lambda one: one.board)
    lenders = next(kind for kind in kinds if kind.members[0][1].dtype == "float32" and kind.members[0][1].threads == 1)
    single += [borrowed(lenders, one) for one in single if one.target and one.dtype == "float16"]
    return Published(load_tables(), load_ratios(), load_networks().network, single)


def bridged_checks(published: Published) -> list[Bridged]:
    """Predict every figure of LiteRT with one thread by the others: its network is left out on every board."""
    anchors = litert_anchors(published.tables, published.networks, published.prices)
    rows: dict[tuple[str, bool], list[tuple[float, float]]] = {}
    for anchor in anchors:
        others = [other for other in anchors if other.network != anchor.network]
        listed = published.prices_on(anchor.board, "int8" if anchor.int8 else "float32")
        factor, spread, _ = settle(others, listed, halves=anchor.halves)
        error = anchor.ratio - np.log(factor)
        rows.setdefault((anchor.board, anchor.int8), []).append((error, combine(listed.spread, spread)))
    return [bridged_check(board, np.array(row), int8=int8) for (board, int8), row in rows.items()]


def bridged_check(board: str, row: Matrix, *, int8: bool) -> Bridged:
    """One board and dtype; `row`: [figures, 2], errors and spreads in log."""
    errors, spreads = np.abs(row[:, 0]), row[:, 1]
    return Bridged(
        board=board,
        dtype="int8" if int8 else "float32",
        figures=len(row),
        median_error=round(float(np.median(np.expm1(errors))), 4),
        covered=round(float((errors <= spreads).mean()), 4),
        half_width=round(float(np.sinh(spreads).mean()), 4),
    )


def kin_check(kind: Family) -> Kin:
    """All boards of one family, those of no target, too."""
    run = kind.members[0][1]
    return Kin(
        dtype=run.dtype,
        several_threads=run.threads > 1,
        halves=kind.halves,
        boards=len(kind.members),
        networks=len(kind.networks),
        covered=round(float(np.mean([one.covered for one in kind.checks])), 4),
        half_width=round(float(np.median([one.half_width for one in kind.checks])), 4),
    )


def smaller_checks(kinds: list[Family]) -> Iterator[Smaller]:
    """Fit the larger half of each board's networks, and predict the smaller half; float with one thread."""
    for kind in kinds:
        for index, (table, run) in enumerate(kind.members):
            if table.role == "fit" and run.threads == 1 and run.dtype != "int8":
                yield smaller_check(kind, index)


def smaller_check(kind: Family, index: int) -> Smaller:
    """One board; the interval is doubled, as `predict` does below its range."""
    logs = kind.logs[index]
    large, small = logs >= np.nanmedian(logs), logs < np.nanmedian(logs)
    networks = load_networks().network
    half = family(kind.members, networks, [name for name, chosen in zip(kind.networks, large, strict=True) if chosen])
    apart = np.abs(logs[small] - np.log(kind.rows[small] @ np.exp(half.fitted[index])))
    known = half.errors[index]
    spread = spread_of(known[~np.isnan(known)])
    return Smaller(
        board=kind.members[index][0].board,
        large=int(large.sum()),
        small=int(small.sum()),
        covered=round(float((apart <= spread).mean()), 4),
        covered_doubled=round(float((apart <= BEYOND * spread).mean()), 4),
    )


def scaled_checks(coefficients: Coefficients) -> list[Scaled]:
    """Scale a price list to another board with the same core by one or two of its networks, and predict the others."""
    checks = []
    for table in load_tables():
        for run in table.run if table.role == "check" else ():
            prices = next(
                p for p in coefficients.prices if (p.target, p.dtype, p.threads) == (table.target, run.dtype, 1)
            )
            logs = price_errors(run, prices)
            checks += [scaled_check(table, prices, logs, models) for models in (1, 2)]
    return checks


def price_errors(run: Run, prices: Prices) -> Matrix:
    """log(time / price) of every network of a run."""
    networks = load_networks().network
    names = fitted_names(run, networks)
    return np.array([np.log(run.ms[name] / prices.listed_ms(networks[name].work)) for name in names])


def scaled_check(table: Table, prices: Prices, logs: Matrix, models: int) -> Scaled:
    """Every choice of `models` networks to calibrate with; `logs` are log(time / price) of all."""
    spread = calibrated_spread(prices.spread, models)
    choices = combinations(range(len(logs)), models)
    apart = np.abs(np.concatenate([np.delete(logs, chosen) - logs[list(chosen)].mean() for chosen in choices]))
    return Scaled(
        board=table.board,
        priced_by=prices.board,
        dtype=prices.dtype,
        models=models,
        median_error=round(float(np.median(np.expm1(apart))), 4),
        covered=round(float((apart <= spread).mean()), 4),
        half_width=round(half_width(spread), 4),
    )


def as_toml(coefficients: Coefficients) -> str:
    """All tables as TOML; tomllib only reads."""
    parts = ["# Written by tests/bench/latency_fit.py from tables/, ratios.toml and networks.toml; do not edit."]
    for kind, entries in msgspec.to_builtins(coefficients).items():
        for entry in entries:
            price = entry.pop("price", {})
            parts.append("\n".join([f"[[{kind}]]", *(f"{key} = {literal(value)}" for key, value in entry.items())]))
            if price:
                parts.append("\n".join([f"[{kind}.price]", *(f"{key} = {value}" for key, value in price.items())]))
    return "\n\n".join(parts) + "\n"


def literal(value: object) -> str:
    """One TOML value; JSON writes text, numbers and truth values alike."""
    return msgspec.json.encode(value).decode()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
