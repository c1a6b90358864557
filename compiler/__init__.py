"""Trained model in, bundle out: `edge compile`. Runs on a workstation."""
