"""Points lost over the time that is predicted for the target, and the front of those that nothing beats."""

from collections.abc import Sequence
from itertools import pairwise

from compiler.report.charts.axis import Axis, signed
from compiler.report.charts.plane import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Names, frame, time_unit
from compiler.report.charts.point import Point, mark
from compiler.report.charts.svg import line, svg


def pareto(points: Sequence[Point], core: str) -> str:
    """Points lost over the time predicted for the target, with the front: who has neither less loss nor less time.

    Whiskers are the interval of the prediction. Empty if nobody could predict.
    """
    timed = [(point, point.measured.predicted) for point in points]
    known = [(point, found.ms, found.low, found.high) for point, found in timed if found is not None]
    if not known:
        return ""
    slowest = max(high for *_, high in known)
    unit, factor = time_unit(slowest)
    x = Axis(0, slowest * factor * 1.12, LEFT, RIGHT)
    y = _loss_axis([100 * point.measured.quality.drop for point, *_ in known])
    parts = frame(
        x, y, across=f"predicted for {core}, {unit}", upward="lost, points", words=lambda tick: signed(tick, "+.3g")
    )
    places = [(x.at(ms * factor), y.at(100 * point.measured.quality.drop)) for point, ms, *_ in known]
    best = front([(ms, point.measured.quality.drop) for point, ms, *_ in known])
    parts.append(_stairs([places[index] for index in best], x.end, y.start))
    names, marks = Names(), []
    for index in sorted(range(len(known)), key=lambda index: (not known[index][0].chosen, index)):
        (point, _, low, high), (px, py) = known[index], places[index]
        parts.append(line("whisker", x.at(low * factor), x.at(high * factor), py))
        marks.append(mark(px, py, point))
        parts.append(names.beside(px, py, point))
    parts += reversed(marks)  # the chosen one is named first and lies on top
    return svg(WIDTH, HEIGHT, "Points lost against predicted time, with the Pareto front", parts)


def front(known: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the (cost, loss) that nothing beats in both, from cheap to dear."""
    kept: list[int] = []
    least = float("inf")
    for index in sorted(range(len(known)), key=lambda one: known[one]):
        if known[index][1] < least:
            kept.append(index)
            least = known[index][1]
    return kept


def _loss_axis(drops: Sequence[float]) -> Axis:
    """Less loss is higher; zero is always on it."""
    room = max(0.25, (max(drops) - min(drops)) * 0.25)
    return Axis(max(*drops, 0.0) + room, min(*drops, 0.0) - room, BOTTOM, TOP)


def _stairs(places: Sequence[tuple[float, float]], right: float, bottom: float) -> str:
    """A front as stairs: between two forms there is nothing better than the cheaper one."""
    corners = [(places[0][0], bottom), places[0]]
    for (_, before), (px, py) in pairwise(places):
        corners += [(px, before), (px, py)]
    corners.append((right, places[-1][1]))
    return f'<polyline class="front" points="{" ".join(f"{px:.1f},{py:.1f}" for px, py in corners)}"/>'
