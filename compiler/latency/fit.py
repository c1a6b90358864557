"""Published times -> prices: the boards of one family are fitted together, each network's relative error counts alike.

Pure numpy. A price is ms for a million of a feature (for an operator). Two dozen networks cannot tell a dozen prices of
one board apart, but how prices relate is alike on boards whose engine and arithmetic are the same. So each board has
prices of its own, drawn towards what its family has in common, and that is found from all boards of the family.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from compiler.latency.features import Dtype, expected_price, measure
from compiler.latency.work import Work

Matrix = NDArray[np.float64]
NOISE = 0.1
"""Expected error, in log, of one time. Networks are odd on all boards alike, so the mean of boards is not better."""
FAMILY_APART, FEW_APART = 1.5, 0.5
"""How far, in log, a family's price may be from the round figures that are expected: where many networks tell, and
where FEW do. Chosen, as is BOARD_APART, by the errors of networks left out, on all boards of the tables."""
FEW = 10
"""Networks; no more are published in int8."""
BOARD_APART = 0.3
"""How far, in log, a board's price may be from its family's: a factor of 1.35."""
ROUNDS = 50
ENOUGH = 1e-6
"""The largest step, in log, after which the search ends."""


def fit_together(rows: Matrix, logs: Matrix, prior: Matrix) -> Matrix:
    """Return log prices [boards, features] of one family: first of its mean board, then of each.

    Args:
        rows: [networks, features], millions.
        logs: [boards, networks], log(ms); NaN where nothing is published.
        prior: [features], log prices that are expected; only how they relate matters.

    """
    return fit_boards(rows, logs, fit_family(rows, logs, prior), BOARD_APART)


def fit_family(rows: Matrix, logs: Matrix, prior: Matrix) -> Matrix:
    """Return [features], what the boards of one family have in common; arguments as above."""
    told = ~np.isnan(logs).all(axis=0)
    apart = FEW_APART if told.sum() < FEW else FAMILY_APART
    shared: Matrix = fit_boards(rows[told], mean_board(logs[:, told])[None, :], prior, apart)[0]
    return shared


def mean_board(logs: Matrix) -> Matrix:
    """Return [networks]: the mean of all boards, each without its own speed, which not all networks tell."""
    mean: Matrix = np.nanmean(logs - np.nanmean(logs, axis=1, keepdims=True), axis=0)
    for _ in range(ROUNDS):
        speeds = np.nanmean(logs - mean, axis=1, keepdims=True)
        mean = np.nanmean(logs - speeds, axis=0)
    return mean


def fit_boards(rows: Matrix, logs: Matrix, expected: Matrix, apart: float) -> Matrix:
    """Return log prices [boards, features] that are `apart` from how the expected ones relate, or where times say so.

    Source: the largest posterior of a log-normal model, found by Gauss-Newton steps; A. Gelman and others, "Bayesian
    Data Analysis", 2013, chapter 13.
    """
    pull = (NOISE / apart) ** 2
    scales = np.nanmean(logs - np.log(rows @ np.exp(expected)), axis=1)
    prices: Matrix = expected + scales[:, None]
    for _ in range(ROUNDS):
        step = newton_step(rows, logs, prices, expected, pull)
        prices = prices + np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < ENOUGH:
            break
    return prices


def newton_step(rows: Matrix, logs: Matrix, prices: Matrix, expected: Matrix, pull: float) -> Matrix:
    """One Gauss-Newton step [boards, features] of every board towards its times, and towards what is expected."""
    known = ~np.isnan(logs)
    parts = rows * np.exp(prices)[:, None, :]
    totals = parts.sum(axis=2)
    slopes = np.where(known[:, :, None], parts / totals[:, :, None], 0.0)
    errors = np.where(known, logs - np.log(totals), 0.0)
    count = rows.shape[1]
    relations = pull * (np.eye(count) - 1 / count)  # a board's speed is free: only how its prices relate is expected
    curvature = np.swapaxes(slopes, 1, 2) @ slopes + relations + 1e-9 * np.eye(count)
    gradient = (slopes * errors[:, :, None]).sum(axis=1) - (prices - expected) @ relations
    step: Matrix = np.linalg.solve(curvature, gradient[:, :, None])[:, :, 0]
    return step


def left_out(rows: Matrix, logs: Matrix, prior: Matrix) -> Matrix:
    """Return log(time / prediction) [boards, networks], each network by a fit that saw it on no board."""
    errors = np.full(logs.shape, np.nan)
    for index in range(len(rows)):
        kept = np.arange(len(rows)) != index
        prices = fit_together(rows[kept], logs[:, kept], prior)
        errors[:, index] = logs[:, index] - np.log(np.exp(prices) @ rows[index])
    return errors


def borrowed_errors(rows: Matrix, logs: Matrix, prior: Matrix) -> Matrix:
    """Return log(time / prediction) [boards, networks] where a board's prices are its family's, which has not seen it.

    Only its speed is its own, by its other networks; the network is left out on every board, as in `left_out`.
    """
    errors = np.full(logs.shape, np.nan)
    for board, network in np.ndindex(*logs.shape):
        kept = np.arange(len(rows)) != network
        others = np.delete(logs, board, axis=0)[:, kept]
        apart = logs[board] - np.log(rows @ np.exp(fit_family(rows[kept], others, prior)))
        errors[board, network] = apart[network] - np.nanmedian(apart[kept])
    return errors


def matrix(works: Sequence[Work], names: Sequence[str]) -> Matrix:
    """Return [networks, features] in millions."""
    return np.array([measure(work, names) for work in works])


def log_prior(names: Sequence[str], dtype: Dtype, threads: int) -> Matrix:
    """Return [features], what prices are expected to be before any time is read; only how they relate matters."""
    return np.log([expected_price(name, dtype, threads) for name in names])
