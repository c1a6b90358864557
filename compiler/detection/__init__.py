"""Detectors: what their boxes are held against, and how boxes are compared."""
