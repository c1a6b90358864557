"""The fleet at a glance: a strip of figures, the rollout at work, and a card for each device."""

from collections import Counter

from fleet.dashboard.charts import label_colour, sparkline
from fleet.dashboard.html import ago, chip, esc, fact, figure, state_chip, strip
from fleet.dashboard.model import DevicePage, FleetPage, every_second
from fleet.dashboard.rollout_view import rollout_line

SAFE_WORDS = frozenset({"stop", "closed", "off", "safe"})


def fleet_view(page: FleetPage) -> str:
    """Everything below the navigation of the first page."""
    if not page.devices:
        return (
            '<div class="ew-empty"><h1>No device yet</h1><p>Enrol one with'
            " <code>edge fleet enrol DEVICE -o DEVICE.enrol</code> and copy the file to it.</p></div>"
        )
    lines = "".join(f'<div style="margin-bottom:14px">{rollout_line(state)}</div>' for state in page.rollouts[:1])
    cards = "".join(device_card(device, page.now_s) for device in page.devices[: page.shown])
    rest = len(page.devices) - page.shown
    more = f'<p class="ew-sub">and {rest:,} more; open one by its name: /device/NAME</p>' if rest > 0 else ""
    return f'{_figures(page)}{lines}<div class="ew-grid">{cards}</div>{more}'


def device_card(device: DevicePage, now_s: float) -> str:
    """One device: who, what it decides now, and whether it is well."""
    view = device.view
    online = view.online
    dot = f'<span class="ew-dot {"ew-go" if online else "ew-stop"}"></span>'
    ages = every_second(device.points, now_s, lambda point: point.age_quantile_ms(0.5))
    latency = [value for point in device.points if (value := point.latency_p95_ms) is not None]
    facts = (
        ("frame age", f"{figure(age)} ms" if (age := _last(ages)) is not None else "–"),
        ("latency", f"{figure(latency[-1])} ms" if latency else "–"),
        ("rate", f"{figure(device.per_second)}/s" if device.points else "–"),
    )
    cells = "".join(f'<div><span class="ew-k">{name}</span><b>{value}</b></div>' for name, value in facts)
    return (
        f'<a class="ew-card{"" if online else " off"}" href="/device/{esc(view.id)}">'
        f'<div class="ew-row">{dot}<span class="ew-name">{esc(view.id)}</span>'
        f'<span class="end">{versions(device)}</span></div>'
        f"{_decision(device, now_s)}{sparkline(ages)}"
        f'<div class="ew-facts">{cells}</div></a>'
    )


def versions(device: DevicePage) -> str:
    """Version and update state of each model on the device."""
    chips = []
    for report in device.view.models.values():
        chips.append(chip(f"v{report.version}" if report.version else "no model"))
        if report.state not in {"IDLE", "COMMITTED"}:
            chips.append(state_chip(report.state))
    return " ".join(chips)


def _decision(device: DevicePage, now_s: float) -> str:
    """The newest decision in large type; an offline device says since when."""
    last = device.last
    if not device.view.online:
        when = ago(device.view.seen_ns / 1e9, now_s) if device.view.seen_ns else "never"
        return f'<div class="ew-decision dim">offline<small>seen {when}</small></div>'
    if last is None:
        return '<div class="ew-decision dim">waiting<small>no decision yet</small></div>'
    tone = "stop" if last.action.lower() in SAFE_WORDS else "go"
    colour = label_colour(last.label, 0)
    return (
        f'<div class="ew-decision {tone}">{esc(last.action)}'
        f'<small><span class="ew-dot" style="background:var({colour})"></span>'
        f" sees {esc(last.label)}, {last.score:.2f}</small></div>"
    )


def _figures(page: FleetPage) -> str:
    """The strip of the whole fleet."""
    online = sum(device.view.online for device in page.devices)
    running = Counter(
        f"v{report.version}" for device in page.devices for report in device.view.models.values() if report.version
    )
    mix = ", ".join(f"{count} on {version}" for version, count in sorted(running.items(), reverse=True)[:3]) or "none"
    ages = [a for d in page.devices for p in d.points[-5:] if (a := p.age_quantile_ms(0.99)) is not None]
    latencies = [v for d in page.devices for p in d.points[-5:] if (v := p.latency_p95_ms) is not None]
    unsure = sum(p.unsure for d in page.devices for p in d.points)
    decisions = sum(p.decisions for d in page.devices for p in d.points)
    return strip(
        (
            fact("devices online", f"{online}", f"of {len(page.devices)}"),
            fact("versions", mix),
            fact("decisions", figure(sum(d.per_second for d in page.devices)), "per second"),
            fact("worst p95 latency", figure(max(latencies)) if latencies else "–", "ms"),
            fact("worst p99 frame age", figure(max(ages)) if ages else "–", "ms"),
            fact("unsure, last minute", f"{100 * unsure / decisions:.1f}" if decisions else "–", "%"),
        )
    )


def _last(values: list[float | None]) -> float | None:
    """The newest value there is."""
    return next((value for value in reversed(values) if value is not None), None)
