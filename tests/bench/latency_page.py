"""The page and the figures of the latency fit."""

from pathlib import Path

import msgspec

from compiler.latency.prices import Bridge, Coefficients, Prices
from compiler.latency.spread import COVERAGE, half_width

HEAD = """# Benchmarks: predicting latency from published tables

Written by `tests/bench/latency_fit.py` from `compiler/latency/tables`; `latency.json` beside it has the same figures.
Nothing here was timed by us: the times are those that the tables publish. [latency.md](../latency.md) explains it.

## Leave one network out

For each network, the prices *and* the interval come from the other networks alone: it is left out on every board.
*Error* is the median of |prediction / time - 1|. *Covered* is the share of networks whose time lies in the interval
printed for them; the aim is {aim:.0%}. *Half-width* is half of that interval as a share of the prediction; the aim is
25 % or less. **Where it is wider, it is printed wider**: on those boards the published networks do not tell more.
Which features the model has, and how freely prices may differ, was decided on these same tables, so a new network may
fare somewhat worse than these figures; the intervals of float are made for 85 % to make up for that.

| Board | Core | Threads | Arithmetic | Networks | Error | Covered | Half-width | Within the aims |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""
KIN = """
## The families

Boards whose engine, arithmetic and threads are alike are fitted together. The same procedure on all boards of a family,
most of which are of no target of ours: phones and boards of ncnn's page that were timed with a recent list of networks.

| Arithmetic | Cores | Threads | Boards | Networks | Covered | Half-width, median |
| --- | --- | --- | --- | --- | --- | --- |
"""
BRIDGES = """
## To the runtimes that we ship

The tables above are ncnn's. A prediction for LiteRT or onnxruntime multiplies by a factor, with a spread of its own.
*Borrowed*: ncnn computes in half precision there; how prices relate in single precision is that of the boards which do,
scaled to the speed of its own list. Those boards, each priced by the others so: {covered:.0%} of the networks in the
interval, half-width {half_width:.0%}.

All for one thread, which is what the agent runs with. LiteRT's intervals are checked below; **no interval of
onnxruntime is**: too little is published for that.

| Target | Runtime | dtype | ncnn's prices | Factor | Half-width of the whole | From |
| --- | --- | --- | --- | --- | --- | --- |
"""


BRIDGED = """
## LiteRT: every published figure predicted by the others

No price list has seen any of these networks. For each figure, its network is left out on every board; the factor and
its spread come from the others: of the board where it has others, else of other boards. Four MobileNets on two phones,
SSDLite MobileNetV2 and five sizes of EfficientDet-Lite on Raspberry Pis. Sizes of one network are alike, so the rows of
EfficientDet say less than their number.

| Board | dtype | Figures | Error | Covered | Half-width |
| --- | --- | --- | --- | --- | --- |
"""
SCALED = """
## Scaled to another board by what that board measured

Four more boards of ncnn's page have a core of the boards above. One or two of their networks play the calibration,
every choice of them; the others are predicted with the scaled price list. The spread that is added for "another board"
was chosen so that it just holds on all four: three stay well clear of it, the Jetson AGX Orin in 8 bits does not.

| Board | Priced by | Arithmetic | Networks measured | Error | Covered | Half-width |
| --- | --- | --- | --- | --- | --- | --- |
"""


class Scaled(msgspec.Struct, frozen=True):
    """One board predicted with the price list of another."""

    board: str
    priced_by: str
    dtype: str
    models: int
    median_error: float
    covered: float
    half_width: float


SMALLER = """
## Below the range of the fit

A prediction below the smallest network of its table doubles the spread. Tested by fitting the larger half of each
board's networks, one thread, and predicting the smaller half.

| Board | Fitted | Predicted | Covered | Covered with the spread doubled |
| --- | --- | --- | --- | --- |
"""


class Smaller(msgspec.Struct, frozen=True):
    """One board's smaller networks predicted by its larger ones."""

    board: str
    large: int
    small: int
    covered: float
    covered_doubled: float


class Bridged(msgspec.Struct, frozen=True):
    """Figures of LiteRT on one board."""

    board: str
    dtype: str
    figures: int
    median_error: float
    covered: float
    half_width: float


class Kin(msgspec.Struct, frozen=True):
    """All boards of one family."""

    dtype: str
    several_threads: bool
    halves: bool
    boards: int
    networks: int
    covered: float
    half_width: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """`latency.json`."""

    aim_covered: float
    aim_half_width: float
    kin: list[Kin]
    bridged: list[Bridged]
    scaled: list[Scaled]
    smaller: list[Smaller]
    coefficients: Coefficients


def write_page(report: Report, folder: Path) -> None:
    """Write both files."""
    text = msgspec.json.format(msgspec.json.encode(report), indent=1)
    (folder / "latency.json").write_bytes(text + b"\n")
    coefficients = report.coefficients
    parts = [
        HEAD.format(aim=COVERAGE),
        *(price_row(prices, report) for prices in coefficients.prices if not prices.borrowed),
    ]
    parts += [KIN.rstrip(), *map(kin_row, report.kin)]
    lent = next(prices for prices in coefficients.prices if prices.borrowed)
    parts += [
        BRIDGES.format(covered=lent.covered, half_width=lent.half_width).rstrip(),
        *(bridge_row(bridge, coefficients) for bridge in coefficients.bridge),
    ]
    parts += [BRIDGED.rstrip(), *map(bridged_row, report.bridged)]
    parts += [SCALED.rstrip(), *map(scaled_row, report.scaled), SMALLER.rstrip(), *map(smaller_row, report.smaller)]
    page = "\n".join(part.rstrip("\n") for part in parts) + "\n"
    (folder / "latency.md").write_text(page, encoding="utf-8")


def bridged_row(one: Bridged) -> str:
    """One board and dtype."""
    shares = f"{one.median_error:.0%} | {one.covered:.0%} | {one.half_width:.0%}"
    return f"| {one.board} | {one.dtype} | {one.figures} | {shares} |"


def kin_row(one: Kin) -> str:
    """One family."""
    cores, threads = "ARMv8.2" if one.halves else "ARMv8.0", "several" if one.several_threads else "1"
    shares = f"{one.covered:.0%} | {one.half_width:.0%}"
    return f"| {one.dtype} | {cores} | {threads} | {one.boards} | {one.networks} | {shares} |"


def smaller_row(one: Smaller) -> str:
    """One board."""
    return f"| {one.board} | {one.large} | {one.small} | {one.covered:.0%} | {one.covered_doubled:.0%} |"


def price_row(prices: Prices, report: Report) -> str:
    """One board."""
    met = prices.covered >= report.aim_covered and prices.half_width <= report.aim_half_width
    cells = (
        prices.board,
        prices.core,
        prices.threads,
        prices.dtype,
        prices.networks,
        f"{prices.median_error:.1%}",
        f"{prices.covered:.0%}",
        f"{prices.half_width:.0%}",
        "yes" if met else "no",
    )
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def scaled_row(one: Scaled) -> str:
    """One board and number of models."""
    shares = (f"{share:.0%}" for share in (one.median_error, one.covered, one.half_width))
    return "| " + " | ".join((one.board, one.priced_by, one.dtype, str(one.models), *shares)) + " |"


def bridge_row(bridge: Bridge, coefficients: Coefficients) -> str:
    """One bridge, and the interval that it leads to."""
    prices = coefficients.prices_for(bridge)
    whole = half_width((prices.spread**2 + bridge.spread**2) ** 0.5)
    cells = (
        bridge.target,
        bridge.runtime,
        bridge.dtype,
        f"borrowed {bridge.basis}" if coefficients.prices_for(bridge).borrowed else bridge.basis,
        f"{bridge.factor:.2f}",
        f"{whole:.0%}",
        bridge.source,
    )
    return "| " + " | ".join(cells) + " |"
