"""A loaded source becomes files that a device's runtime opens: one file a format."""
