"""A page on the device that shows what the agent sees and decides. Read-only, off by default, loopback by default."""
