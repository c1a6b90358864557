"""One compiled file that could go into the bundle, and what is said of one that could not be built."""

from dataclasses import dataclass, field

from compiler.plan import Plan
from edge.manifest import Precision, RuntimeName, Variant


@dataclass(frozen=True, slots=True)
class Candidate:
    """One compiled file and what the manifest will say of it."""

    runtime: RuntimeName
    dtype: Precision
    data: bytes = field(repr=False)
    variant: Variant
    note: str
    """For people: what is special about this candidate; empty if nothing is."""
    plan: Plan | None = None
    """How it was made; `str(plan)` is its recipe. None: it was packed as it came."""
    judged: tuple[str, ...] = ()
    """See `compiler.quantize.workbench.Made`."""

    @property
    def form(self) -> tuple[RuntimeName, Precision]:
        """What it computes on, and in; a bundle holds one file of a form."""
        return self.runtime, self.dtype

    @property
    def title(self) -> str:
        """Name its form: `int8 on litert`."""
        return f"{self.dtype} on {self.runtime}"

    @property
    def layers_in_float(self) -> int:
        """How many layers a mixed plan keeps in float."""
        return len(self.plan.keep_float) if self.plan else 0


@dataclass(frozen=True, slots=True)
class Skipped:
    """A candidate that was wanted but could not be built."""

    runtime: RuntimeName
    dtype: Precision
    reason: str
