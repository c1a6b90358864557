"""Two slots for bundles: one runs, the other is free for the next version. A file in a slot never changes."""

from pathlib import Path

from edge_agent.disk import Disk, sha256_of
from edge_agent.update.journal import SLOTS, BundleRecord, DeltaRecord, SlotName


class Slots:
    """The slots of one model: `a.edge`, `b.edge`, and what is being fetched beside them."""

    def __init__(self, disk: Disk, model_folder: Path) -> None:
        """Open them; the journal has made its `model_folder`."""
        self._disk = disk
        self.folder = model_folder / SLOTS

    def path(self, name: SlotName) -> Path:
        """The bundle of a slot."""
        return self.folder / f"{name}.edge"

    def part(self, record: BundleRecord | DeltaRecord) -> Path:
        """Where something grows while it is fetched: named by its hash, so that no other bytes get in."""
        return self.folder / f"{record.sha256}.part"

    def holds(self, path: Path, record: BundleRecord | DeltaRecord) -> bool:
        """Say whether a file is exactly this; reads all of it."""
        return self._disk.size(path) == record.size_bytes and sha256_of(self._disk, path) == record.sha256

    def put(self, name: SlotName, record: BundleRecord) -> bool:
        """Move the fetched bundle into a slot; False if neither the part nor the slot holds it."""
        part, path = self.part(record), self.path(name)
        if self._disk.size(part) is not None and self.holds(part, record):
            self._disk.protect(part)
            self._disk.rename(part, path)
        elif not self.holds(path, record):
            return False
        self._disk.sync_dir(self.folder)
        return True

    def clear(self, keep: BundleRecord | None = None) -> None:
        """Remove what is left of other downloads."""
        kept = {self.part(record).name for record in (keep, keep and keep.delta) if record}
        for name in self._disk.names(self.folder):
            if name.endswith(".part") and name not in kept:
                self._disk.unlink(self.folder / name)
