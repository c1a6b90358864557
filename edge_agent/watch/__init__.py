"""Watching the model at work."""
