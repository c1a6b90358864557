"""One device: what it decides now, how old its frames are, what it sees, and how its last update ended."""

from collections import Counter

from edge.statistics import SCORE_EDGES
from fleet.dashboard.charts import Line, histogram, line_chart, shares
from fleet.dashboard.events_view import event_rows
from fleet.dashboard.fleet_view import versions
from fleet.dashboard.html import ago, card, clock, esc, fact, figure, state_chip, strip, table
from fleet.dashboard.model import DevicePage, every_second


def device_view(page: DevicePage, now_s: float, *, with_pictures: bool = False) -> str:
    """Everything below the navigation of a device's page, with a link to its pictures if there is such a page."""
    view = page.view
    dot = f'<span class="ew-dot {"ew-go" if view.online else "ew-stop"}"></span>'
    seen = ago(view.seen_ns / 1e9, now_s) if view.seen_ns else "never seen"
    pictures = f'<a class="ew-link" href="/pictures/{esc(view.id)}">kept pictures</a>' if with_pictures else ""
    about = ", ".join(x for x in (view.target, f"agent {view.agent}" if view.agent else "", seen) if x)
    return (
        f'<div class="ew-head"><h1>{dot} {esc(view.id)}</h1>'
        f'<span class="ew-sub">{esc(about)}</span>{versions(page)}{pictures}</div>'
        f"{_figures(page)}"
        f'<div class="ew-two"><div class="ew-stack">{_charts(page, now_s)}</div>'
        f'<div class="ew-stack">{card("Decisions", _decisions(page))}'
        f"{card('Updates and events', _updates(page, now_s))}</div></div>"
    )


def _figures(page: DevicePage) -> str:
    """The strip."""
    decisions = sum(point.decisions for point in page.points)
    unsure = sum(point.unsure for point in page.points)
    last = page.last
    ages = [value for point in page.points[-5:] if (value := point.age_quantile_ms(0.99)) is not None]
    return strip(
        (
            fact("decides", last.action if last else "–"),
            fact("sees", last.label if last else "–", f"{last.score:.2f}" if last else ""),
            fact("decisions", figure(page.per_second), "per second"),
            fact("p99 frame age", figure(max(ages)) if ages else "–", "ms"),
            fact("unsure, last minute", f"{100 * unsure / decisions:.1f}" if decisions else "–", "%"),
        )
    )


def _charts(page: DevicePage, now_s: float) -> str:
    """Frame age, latency, scores and labels over the last minute."""
    age = (
        Line("p99", every_second(page.points, now_s, lambda p: p.age_quantile_ms(0.99)), "--warn"),
        Line("median", every_second(page.points, now_s, lambda p: p.age_quantile_ms(0.5)), "--info"),
    )
    latency = (Line("p95", every_second(page.points, now_s, lambda p: p.latency_p95_ms), "--info"),)
    labels: Counter[str] = Counter()
    for point in page.points:
        labels.update(dict(point.labels))
    scores = [sum(column) for column in zip(*(p.scores for p in page.points if p.scores), strict=False)]
    return (
        card("Age of the frame when the decision was applied", line_chart(age, unit="ms"))
        + card("Inference and decision", line_chart(latency, unit="ms"))
        + card("What it saw in the last minute", shares(labels))
        + card("Score of the chosen label, last minute", histogram(scores, SCORE_EDGES))
    )


def _decisions(page: DevicePage) -> str:
    """The newest decisions that differed from the one before."""
    heads = (("", "time"), ("", "sees"), ("num", "score"), ("", "decides"), ("num", "frame age"), ("num", "version"))
    rows = [
        (
            ("mono dim", clock(d.at_s)),
            ("", esc(d.label)),
            ("num", f"{d.score:.3f}"),
            ("", f"<b>{esc(d.action)}</b>"),
            ("num", f"{figure(d.age_ms)} ms"),
            ("num dim", f"v{d.version}"),
        )
        for d in page.decisions[:12]
    ]
    return table(heads, rows) if rows else '<div class="ew-empty">no decision yet</div>'


def _updates(page: DevicePage, now_s: float) -> str:
    """How each model's last update ended, then the events."""
    reports = "".join(
        f'<div class="ew-row" style="margin-bottom:9px"><b>{esc(model)}</b>{state_chip(report.state)}'
        f'<span class="dim">v{report.attempted or report.version} {esc(report.reason)}</span></div>'
        for model, report in page.view.models.items()
    )
    return reports + event_rows(page.events[:10], now_s, with_device=False)
