"""Which layers cost accuracy in int8, and the likely cause: pure functions for the search and for `edge explain`."""

from compiler.explain.cause import Cause, classify
from compiler.explain.layers import LayerError, rank_layers

__all__ = ["Cause", "LayerError", "classify", "rank_layers"]
