"""How errors, tables and the report write numbers, lists and shapes."""

from collections.abc import Sequence

from edge.manifest import Latency, MetricName


def short(names: Sequence[str], most: int = 12) -> str:
    """List names, the first ones if there are many."""
    return ", ".join(names[:most]) + (" ..." if len(names) > most else "")


def times(shape: tuple[int, ...]) -> str:
    """Write a shape: `96 x 96 x 3`."""
    return " x ".join(map(str, shape))


def milliseconds(latency: Latency) -> str:
    """Write a time with its interval, never a bare number."""
    return f"{latency.ms:.3g} ms {latency.kind} ({latency.low:.3g} to {latency.high:.3g})"


def points(share: float) -> str:
    """Write a difference of shares in percentage points."""
    return f"{100 * share:.2f} points"


def value(metric: MetricName, number: float) -> str:
    """Write what a metric says: a share, or for an error or a correlation the number."""
    return f"{number:.5g}" if metric in {"mae", "correlation"} else f"{number:.2%}"


def kib(size_bytes: int) -> str:
    """Write a size as KiB or MiB."""
    return f"{size_bytes / 2**20:.1f} MiB" if size_bytes >= 2**20 else f"{size_bytes / 1024:.1f} KiB"
