"""Drawings of the report as inline SVG, one file each."""
