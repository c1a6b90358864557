"""One candidate as a mark: its shape tells the runtime, its colour the precision."""

from dataclasses import dataclass

from compiler.measure import Measured


@dataclass(frozen=True, slots=True)
class Point:
    """One candidate with its name on the page."""

    name: str
    measured: Measured
    chosen: bool

    @property
    def colour(self) -> str:
        """Style of its mark and of its interval."""
        return "int8" if self.measured.candidate.dtype == "int8" else "float"

    @property
    def label(self) -> str:
        """Style of its name."""
        return "label strong" if self.chosen else "label"


def mark(px: float, py: float, point: Point) -> str:
    """Draw a square for ONNX Runtime, a disc for all others."""
    style = f"mark {point.colour}" + (" chosen" if point.chosen else "")
    if point.measured.candidate.runtime == "onnxruntime":
        return f'<rect class="{style}" x="{px - 6:.1f}" y="{py - 6:.1f}" width="12" height="12" rx="2"/>'
    return f'<circle class="{style}" cx="{px:.1f}" cy="{py:.1f}" r="7"/>'
