"""Float to int8: one file a runtime format."""
