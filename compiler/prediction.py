"""What is said of a target's core without one at hand."""

from collections.abc import Callable

from edge.manifest import Latency, Variant

Predictor = Callable[[bytes, Variant], Latency | None]
"""Says how long one inference of a compiled file takes on the target's core; None: nobody can say."""


def no_prediction(content: bytes, variant: Variant) -> Latency | None:  # noqa: ARG001
    """Know nothing of any core: then published speed-ups decide between int8 and float, and --max-ms is unproven."""
    return None
