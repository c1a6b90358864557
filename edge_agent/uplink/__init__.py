"""The uplink: one process that talks to the fleet, so that the loop never has to."""
