"""The update: what may be installed, how it gets onto the disk, and what runs after a power cut."""
