"""Recordings: what the loop saw, when, and what it decided, so that the same can be decided again (`edge replay`)."""
