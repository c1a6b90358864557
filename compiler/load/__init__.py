"""Opens what a user calls a model: one file a format."""
