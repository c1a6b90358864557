"""Fits the published tables: writes compiler/latency/coefficients.toml and docs/benchmarks/latency.{md,json}.

python tests/bench/latency_fit.py docs/benchmarks
"""

import sys
from itertools import combinations
from pathlib import Path

import msgspec
import numpy as np
from latency_page import Report, Scaled, Smaller, write_page
from msgspec.structs import replace

from compiler.latency import fit
from compiler.latency.bridge import LEAST_FITTED, Published, bridges
from compiler.latency.fit import FLOAT_FEATURES, INT8_FEATURES, Matrix, features, half_width, matrix
from compiler.latency.predict import BEYOND
from compiler.latency.prices import Coefficients, Prices
from compiler.latency.tables import Network, Run, Table, load_networks, load_ratios, load_tables
from edge.target import load_target

PACKAGE = Path(__file__).parents[2] / "compiler" / "latency"


def main(folder: Path) -> None:
    """Fit, and write all three files."""
    coefficients = fit_all()
    (PACKAGE / "coefficients.toml").write_text(as_toml(coefficients), encoding="utf-8")
    write_page(Report(fit.COVERAGE, 0.25, scaled_checks(coefficients), smaller_checks(), coefficients), folder)


def fit_all() -> Coefficients:
    """Prices of every run that is rich enough, and the bridges to our runtimes."""
    networks, tables = load_networks().network, [table for table in load_tables() if table.role == "fit"]
    prices = [
        fit_run(table, run, networks)
        for table in tables
        for run in table.run
        if table.engine == "ncnn" and len(fitted_names(run, networks)) >= LEAST_FITTED
    ]
    published = Published(tables, load_ratios(), networks, prices)
    crossings = [bridge for bridge in bridges(published) if bridge.runtime in load_target(bridge.target).runtimes]
    return Coefficients(prices=tuple(prices), bridge=tuple(crossings))


def fitted_names(run: Run, networks: dict[str, Network]) -> list[str]:
    """Networks of a run whose time is the time of their arithmetic."""
    return [name for name in run.ms if not networks[name].postprocessing]


def fit_run(table: Table, run: Run, networks: dict[str, Network]) -> Prices:
    """Prices of one run, and how well they hold for networks left out."""
    names = fitted_names(run, networks)
    rows = matrix([replace(networks[name].work, dtype=run.dtype) for name in names])
    times_ms = np.array([run.ms[name] for name in names])
    checked = fit.check(rows, times_ms)
    feature_names = INT8_FEATURES if run.dtype == "int8" else FLOAT_FEATURES
    return Prices(
        target=table.target,
        core=table.core,
        board=table.board,
        threads=run.threads,
        dtype=run.dtype,
        price={
            name: round(float(price), 6) for name, price in zip(feature_names, fit.fit(rows, times_ms), strict=True)
        },
        spread=round(fit.spread_of(fit.left_out(rows, times_ms)), 4),
        networks=len(names),
        median_error=round(checked.median_error, 4),
        covered=round(checked.covered, 4),
        half_width=round(checked.half_width, 4),
        least_ms=float(times_ms.min()),
        source=table.source,
    )


def smaller_checks() -> list[Smaller]:
    """Fit the larger half of each board's networks, and predict the smaller half."""
    networks, found = load_networks().network, []
    for table in load_tables():
        for run in table.run if table.engine == "ncnn" and table.role == "fit" else ():
            names = fitted_names(run, networks)
            if run.threads == 1 and len(names) >= 20:
                rows = matrix([replace(networks[name].work, dtype=run.dtype) for name in names])
                found.append(smaller_check(table, rows, np.array([run.ms[name] for name in names])))
    return found


def smaller_check(table: Table, rows: Matrix, times_ms: Matrix) -> Smaller:
    """One board; the interval is doubled, as `predict` does below its range."""
    large = times_ms >= np.median(times_ms)
    apart = np.abs(np.log(times_ms[~large] / (rows[~large] @ fit.fit(rows[large], times_ms[large]))))
    spread = fit.spread_of(fit.left_out(rows[large], times_ms[large]))
    return Smaller(
        board=table.board,
        large=int(large.sum()),
        small=int((~large).sum()),
        covered=round(float((apart <= spread).mean()), 4),
        covered_doubled=round(float((apart <= BEYOND * spread).mean()), 4),
    )


def scaled_checks(coefficients: Coefficients) -> list[Scaled]:
    """Scale a price list to another board with the same core by one or two of its networks, and predict the others."""
    networks, checks = load_networks().network, []
    for table in load_tables():
        for run in table.run if table.role == "check" else ():
            prices = next(
                p for p in coefficients.prices if (p.target, p.dtype, p.threads) == (table.target, run.dtype, 1)
            )
            works = {name: replace(networks[name].work, dtype=run.dtype) for name in fitted_names(run, networks)}
            logs = [np.log(run.ms[name] / (features(work) @ prices.vector())) for name, work in works.items()]
            checks += [scaled_check(table, prices, np.array(logs), models) for models in (1, 2)]
    return checks


def scaled_check(table: Table, prices: Prices, logs: Matrix, models: int) -> Scaled:
    """Every choice of `models` networks to calibrate with; `logs` are log(time / price) of all."""
    spread = fit.calibrated_spread(prices.spread, models)
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
