"""What every part of edgewright agrees on, and the `edge` command."""

__version__ = "0.1.0"
