"""What every page has in common: the style, and the bar with the brand and the navigation."""

from pathlib import Path

STYLE = Path(__file__).with_name("style.css")
MARK = (
    '<svg width="20" height="20" viewBox="0 0 20 20"><path d="M3 4h9M3 10h14M3 16h6" stroke="currentColor"'
    ' stroke-width="2.6" stroke-linecap="round"/><circle cx="16" cy="4" r="2" fill="var(--go)"/></svg>'
)
TABS = (("fleet", "/", "Fleet"), ("rollouts", "/rollouts", "Rollouts"), ("events", "/events", "Events"))


def header(tab: str, time_of_day: str) -> str:
    """The bar; `tab` is the one that is open."""
    links = "".join(f'<a href="{url}" class="{"on" if tab == name else ""}">{text}</a>' for name, url, text in TABS)
    return (
        f'<header class="ew-top"><a class="ew-brand" href="/">{MARK}edgewright</a>'
        f'<nav class="ew-nav">{links}</nav><span class="ew-clock">{time_of_day}</span></header>'
    )
