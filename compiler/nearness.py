"""How near a candidate's scores are to the float model's before a soft-max or sigmoid makes shares of them.

Behind a soft-max a sure sample is 0 and 1 whatever its scores do, so that a file may look 20 dB better than it is.
Where a network ends in one, candidates are ranked by what goes into it. Others are ranked by their outputs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from compiler.cache import Cache, code_digest, key_of
from compiler.candidate import Candidate
from compiler.measure import Measured
from compiler.plan import STATIC, Plan
from compiler.quantize.calibration import Calibration
from compiler.quantize.reference import Reference
from edge.manifest import RuntimeName

Measure = Callable[[Sequence[Candidate]], tuple[Measured, ...]]


@dataclass(slots=True)
class Nearness:
    """Adds `before_squash_db` to what is measured; what was computed once is kept."""

    samples: Calibration
    """Inputs of the select part."""
    digests: Sequence[bytes]
    """Of the same samples: by them a number is known again."""
    cache: Cache
    floats: Callable[[RuntimeName], Candidate]
    """The float candidate of a runtime."""
    _references: dict[RuntimeName, Reference | None] = field(default_factory=dict)

    def after(self, measure: Measure) -> Measure:
        """Return the same measurement with the number added."""
        return lambda candidates: tuple(self._with_number(one) for one in measure(candidates))

    def _with_number(self, one: Measured) -> Measured:
        candidate = one.candidate
        if candidate.plan is None or candidate.dtype not in STATIC:
            return one
        exact = self.floats(candidate.runtime)
        digests = sorted(digest.hex() for digest in self.digests)
        key = key_of("nearness", code_digest(), exact.variant.sha256, candidate.variant.sha256, digests)
        content = self.cache.remember(key, lambda: msgspec.json.encode(self._number(exact, candidate)))
        return replace(one, before_squash_db=msgspec.json.decode(content, type=float | None))

    def _number(self, exact: Candidate, candidate: Candidate) -> float | None:
        reference = self._reference(exact)
        return None if reference is None else reference.judge(candidate.data, names=candidate.judged)

    def _reference(self, exact: Candidate) -> Reference | None:
        """Return None where no output is a squashed one."""
        if exact.runtime not in self._references:
            reference = Reference(exact.data, Plan(exact.runtime).file_format, self.samples)
            self._references[exact.runtime] = reference if reference.squashes else None
        return self._references[exact.runtime]
