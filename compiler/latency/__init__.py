"""Honest latency: published figures -> prices of work -> a prediction with its interval, or what a board measured.

`predict` is the only way in: it never returns a bare number. docs/latency.md says what the numbers are, and are not.
"""

from compiler.latency.predict import predict

__all__ = ["predict"]
