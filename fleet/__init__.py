"""Bundles to devices, telemetry to people: `edge fleet`."""
