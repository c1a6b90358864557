"""Bytes a second, for whoever sends beside something that matters more."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Pace:
    """How long to wait before the next bytes, so that no second carries more than `bytes_s`; pure."""

    bytes_s: float
    _free_s: float = field(default=0.0)

    def wait_s(self, size_bytes: int, now_s: float) -> float:
        """Seconds to wait before sending `size_bytes`, which are counted as sent."""
        start_s = max(self._free_s, now_s)
        self._free_s = start_s + size_bytes / self.bytes_s
        return start_s - now_s
