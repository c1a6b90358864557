"""Families of boards: runs of one engine in one arithmetic, on one thread or several, that are fitted together."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from msgspec.structs import replace

from compiler.latency.features import Dtype, feature_names
from compiler.latency.fit import Matrix, borrowed_errors, fit_family, fit_together, left_out, log_prior, matrix
from compiler.latency.prices import Prices
from compiler.latency.spread import Check, check, check_borrowed, pooled, spreads_of
from compiler.latency.tables import Network, Run, Table, load_networks

Member = tuple[Table, Run]
LEAST_FITTED = 5
"""Networks; a run with fewer cannot be fitted, only compared with."""


@dataclass(frozen=True)
class Family:
    """Boards [members] by networks: `logs` holds log(ms), NaN where nothing is published."""

    members: tuple[Member, ...]
    networks: tuple[str, ...]
    rows: Matrix
    logs: Matrix
    features: tuple[str, ...]

    @cached_property
    def prior(self) -> Matrix:
        run = self.members[0][1]
        return log_prior(self.features, run.dtype, run.threads)

    @property
    def halves(self) -> bool:
        """Whether the cores have half-precision arithmetic, and with it dot products of bytes."""
        return any(run.dtype == "float16" for run in self.members[0][0].run)

    @cached_property
    def fitted(self) -> Matrix:
        """Log prices [members, features]."""
        return fit_together(self.rows, self.logs, self.prior)

    @cached_property
    def errors(self) -> Matrix:
        """log(time / prediction) [members, networks] of fits that did not see the network."""
        return left_out(self.rows, self.logs, self.prior)

    @cached_property
    def checks(self) -> list[Check]:
        """Of each member."""
        return check(self.rows, self.logs, self.prior)

    def prices(self) -> Iterator[Prices]:
        """Price lists of all members; those without a target are only to compare with."""
        for index, spread in enumerate(spreads_of(self.errors)):
            yield self._prices(index, float(spread))

    def _prices(self, index: int, spread: float) -> Prices:
        (table, run), checked = self.members[index], self.checks[index]
        known = ~np.isnan(self.logs[index])
        listed = zip(self.features, np.exp(self.fitted[index]), strict=True)
        return Prices(
            target=table.target,
            core=table.core,
            board=table.board,
            threads=run.threads,
            dtype=run.dtype,
            price={name: float(f"{price:.4g}") for name, price in listed},
            spread=round(spread, 4),
            networks=int(known.sum()),
            median_error=round(checked.median_error, 4),
            covered=round(checked.covered, 4),
            half_width=round(checked.half_width, 4),
            least_ms=round(float(np.exp(self.logs[index][known].min())), 4),
            source=table.source,
        )


def borrowed(lenders: Family, list_: Prices) -> Prices:
    """Single-precision prices of `lenders`, at the speed of `list_`, of a board that computes in half precision."""
    errors = borrowed_errors(lenders.rows, lenders.logs, lenders.prior)
    shared, checked = np.exp(fit_family(lenders.rows, lenders.logs, lenders.prior)), check_borrowed(errors)
    networks = load_networks().network
    listed = np.array([list_.listed_ms(networks[name].work) for name in lenders.networks])
    speed = float(np.median(listed / (lenders.rows @ shared)))
    return replace(
        list_,
        dtype="float32",
        price={name: float(f"{price * speed:.4g}") for name, price in zip(lenders.features, shared, strict=True)},
        spread=round(pooled(errors), 4),
        median_error=round(checked.median_error, 4),
        covered=round(checked.covered, 4),
        half_width=round(checked.half_width, 4),
        lenders=len(lenders.members),
    )


def families(tables: Sequence[Table], networks: dict[str, Network]) -> list[Family]:
    """All families of the tables that are fitted."""
    grouped: dict[tuple[Dtype, bool, bool], list[Member]] = {}
    for table in tables:
        for run in table.run if table.engine == "ncnn" and table.role in {"fit", "kin"} else ():
            if len(fitted_names(run, networks)) >= LEAST_FITTED:
                halves = any(other.dtype == "float16" for other in table.run)
                grouped.setdefault((run.dtype, halves, run.threads > 1), []).append((table, run))
    return [family(members, networks) for members in grouped.values()]


def family(members: Sequence[Member], networks: dict[str, Network], only: Iterable[str] | None = None) -> Family:
    """One family, of all of its networks or some."""
    run = members[0][1]
    names = sorted({name for _, each in members for name in fitted_names(each, networks)})
    chosen = tuple(name for name in names if only is None or name in set(only))
    features = feature_names(run.dtype, run.threads)
    return Family(
        members=tuple(members),
        networks=chosen,
        rows=matrix([networks[name].work for name in chosen], features),
        logs=np.array([[np.log(each.ms.get(name, np.nan)) for name in chosen] for _, each in members]),
        features=features,
    )


def fitted_names(run: Run, networks: dict[str, Network]) -> list[str]:
    """Networks of a run whose time is the time of their arithmetic."""
    return [name for name in run.ms if not networks[name].postprocessing]
