"""`edge agent install`: the agent as a hardened systemd service. `unit.py` is text only, `files.py` writes."""
