"""Runnable stories that use only the public names of the parts."""
