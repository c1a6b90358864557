"""How long one inference takes on a target: measured by a board, predicted from published figures, or unknown."""

import hashlib
from dataclasses import dataclass
from math import exp, log

import numpy as np
from msgspec.structs import replace

from compiler.latency.prices import Bridge, Prices, load_coefficients
from compiler.latency.read import read_work
from compiler.latency.spread import calibrated_spread, combine
from edge.calibration import Calibration, Timing
from edge.errors import BadArgumentError
from edge.manifest import Latency, Variant
from edge.target import Target

BEYOND = 2.0
"""Times the spread, for a prediction below the smallest network that was fitted: the fit has not been there."""
FARTHEST = 20.0
"""Below a twentieth of the smallest network in float nothing is predicted: there a call's overhead decides, and no
published table shows it."""
OLD_SPREAD = log(1.35)
"""tflite-runtime 2.14 against LiteRT 2.3 on the same float model: an allowance, no figure is published.
Source: their instructions per inference in 8 bits, emulated Cortex-A72: 73.2 to 54.1 million."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Before any calibration: the spread of the price list and that of the bridge, both in log."""

    ms: float
    prices_spread: float
    bridge_spread: float
    source: str
    beyond: bool


def predict(
    content: bytes, variant: Variant, target: Target, *, calibration: Calibration | None = None
) -> Latency | None:
    """Say how long one inference of `content` takes with one thread, or None where nobody can say.

    "measured" if `calibration` holds a measurement of exactly this file; else "predicted", from published tables
    and, with a calibration, scaled to that board.

    Raises:
        BadArgumentError: the calibration was taken on another kind of core.

    """
    if calibration is not None:
        check_calibration(calibration, target)
        timing = calibration.timing_of(hashlib.sha256(content).hexdigest(), variant.runtime)
        if timing is not None:
            return measured(timing, calibration, target)
    estimate = estimate_ms(content, variant, target)
    if estimate is None:
        return None
    if calibration is not None:
        estimate = calibrated(estimate, calibration, variant, target)
    return as_latency(estimate, variant, target)


def check_calibration(calibration: Calibration, target: Target) -> None:
    """Refuse a calibration of another core: its ratios say nothing of this one."""
    if target.cores[0] not in calibration.cores:
        raise BadArgumentError(
            f"the calibration was taken on {', '.join(calibration.cores)}, and {target.name} has {target.cores[0]}",
            remedy="take it on a board of that kind, or compile for the target that the board is",
        )


def measured(timing: Timing, calibration: Calibration, target: Target) -> Latency:
    """Exactly this file, on that board: median, 10th and 90th percentile."""
    return Latency(
        core=target.cores[0],
        runtime=timing.runtime,
        kind="measured",
        ms=timing.p50_ms,
        low=timing.p10_ms,
        high=timing.p90_ms,
        source=f"{timing.inferences} inferences on {calibration.cpu}, {described(calibration)}",
    )


def estimate_ms(content: bytes, variant: Variant, target: Target) -> Estimate | None:
    """Price the work of `content`, or None: no table for this target, or a file whose work cannot be counted."""
    coefficients = load_coefficients()
    old = variant.runtime == "tflite-runtime"
    if old and variant.dtype == "int8":
        return None  # its int8 kernels are years older than those that have been published
    bridge = coefficients.bridge_for(target.name, "litert" if old else variant.runtime, variant.dtype)
    work = None if bridge is None else read_work(content, variant)
    if bridge is None or work is None:
        return None
    prices, floats = coefficients.prices_for(bridge), coefficients.float_prices_for(bridge)
    if floats.listed_ms(work) * FARTHEST < floats.least_ms:
        return None
    listed = prices.listed_ms(work, winograd=bridge.winograd)
    beyond = listed < prices.least_ms
    # what few networks were fitted in int8, all large, agree on says little of small ones: no more than float does
    prices_spread = max(prices.spread, floats.spread) if beyond else prices.spread
    spread = combine(bridge.spread, OLD_SPREAD) if old else bridge.spread
    cpu = " on the CPU alone" if target.providers and variant.runtime == "onnxruntime" else ""
    source = f"1 thread{cpu}; {words(prices, bridge, old=old)}"
    return Estimate(listed * bridge.factor, prices_spread, spread, source, beyond)


def words(prices: Prices, bridge: Bridge, *, old: bool) -> str:
    """Say what a prediction rests on."""
    lent = f", with what single precision costs on {prices.lenders} other boards" if prices.lenders else ""
    table = f"{prices.networks} networks of ncnn's table for {prices.board}{lent}"
    board = f"{table} (error of those left out {prices.median_error:.0%})"
    like = ", as if it were LiteRT" if old else ""
    return f"{board}; x {bridge.factor:.2f}, {bridge.source}{like}"


def calibrated(estimate: Estimate, calibration: Calibration, variant: Variant, target: Target) -> Estimate:
    """Scale by what the board measured against what would have been predicted for the same models.

    Models of the same runtime and dtype count, or else of the same runtime. The factor of board and runtime is then
    known, if by few models; that it differs from network to network stays.
    """
    same = [timing for timing in calibration.timings if timing.runtime == variant.runtime]
    chosen = [timing for timing in same if timing.dtype == variant.dtype] or same
    logs = [log(timing.p50_ms / priced.ms) for timing in chosen if (priced := price_again(timing, variant, target))]
    if not logs:
        return estimate
    spread = calibrated_spread(estimate.prices_spread, len(logs))
    source = f"{estimate.source}; scaled by {exp(np.mean(logs)):.2f}, {described(calibration)}"
    beyond = estimate.beyond and not any(timing.p50_ms < estimate.ms * exp(np.mean(logs)) for timing in chosen)
    return Estimate(estimate.ms * exp(float(np.mean(logs))), spread, 0.0, source, beyond)


def price_again(timing: Timing, variant: Variant, target: Target) -> Estimate | None:
    """What would have been predicted for a model that was timed."""
    return estimate_ms(timing.model, replace(variant, dtype=timing.dtype, file=timing.file), target)


def described(calibration: Calibration) -> str:
    """Name a calibration by its contents."""
    return f"calibration {calibration.identity[:12]}"


def as_latency(estimate: Estimate, variant: Variant, target: Target) -> Latency:
    """Estimate -> the record that a manifest holds."""
    spread = combine(estimate.prices_spread, estimate.bridge_spread)
    note = ""
    if estimate.beyond:
        spread, note = spread * BEYOND, "; smaller than every network of that table: interval doubled"
    return Latency(
        core=target.cores[0],
        runtime=variant.runtime,
        kind="predicted",
        ms=float(f"{estimate.ms:.4g}"),
        low=float(f"{estimate.ms / exp(spread):.3g}"),
        high=float(f"{estimate.ms * exp(spread):.3g}"),
        source=estimate.source + note,
    )
