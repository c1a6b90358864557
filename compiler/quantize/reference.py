"""The float file that compiled files come from: what it computes of samples, and how near others come to it.

Observing and running it are done once, for any number of plans.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from compiler.export import FORMATS
from compiler.observe import Observations
from compiler.observe.ranges import Range
from compiler.plan import Format
from compiler.quantize.calibration import Calibration, Portions, Sample
from compiler.quantize.error import mean_sqnr_db
from compiler.quantize.layers import Network
from edge.errors import BadModelError

Output = list[NDArray[np.float32]]
"""All outputs of one sample, flattened."""

SAME = 1e-4
"""Of the largest output: how far folding factors into weights may move a float output."""
_SQUASHES = frozenset({"Softmax", "Sigmoid", "LogSoftmax", "SOFTMAX", "LOGISTIC", "LOG_SOFTMAX"})


class Reference:
    """A float file, prepared for quantization, and its calibration samples."""

    def __init__(self, content: bytes, file_format: Format, calibration: Calibration) -> None:
        self.verbs = FORMATS[file_format]
        self.content = self.verbs.prepare(content)
        self._calibration = calibration

    @cached_property
    def network(self) -> Network:
        """Layers and constants."""
        return self.verbs.read_network(self.content)

    @cached_property
    def size(self) -> int:
        """Numbers in all activations of one sample."""
        steps = self.verbs.run(self.content, islice(self._calibration(), 1))
        return sum(values.size for step in steps for values in step.values())

    @cached_property
    def portions(self) -> Portions:
        """Which samples are observed, judge, and teach."""
        return Portions(self._calibration, self.size)

    @cached_property
    def seen(self) -> Observations:
        """What the calibration samples do inside."""
        return self.observe(self.content)

    @cached_property
    def judged(self) -> tuple[str, ...]:
        """Names of the outputs, or of what goes into the soft-max that makes one: that keeps every class apart."""
        return judged_in(self.network)

    @property
    def squashes(self) -> bool:
        """Whether an output is a soft-max or a sigmoid of something."""
        return self.judged != self.network.outputs

    def observe(self, content: bytes) -> Observations:
        """See what the calibration samples do inside a float file."""
        return self.verbs.observe(content, self.portions.observed())

    def outputs(
        self, content: bytes, samples: Iterable[Sample] | None = None, names: tuple[str, ...] = ()
    ) -> Iterator[Output]:
        """Run the judged samples, or these; quantizers keep the names of tensors. In the order of the outputs."""
        for tensors in self.verbs.run(content, self.portions.judged() if samples is None else samples):
            yield [tensors[name].reshape(-1) for name in names or self.judged]

    def judge(
        self, content: bytes, *, most: int | None = None, names: tuple[str, ...] = (), held_out: bool = False
    ) -> float:
        """SQNR of the output of a file that lost most, decibels.

        Args:
            content: any file that was made of this one.
            most: steps that count, of all sequences together, the first ones; None: all of the judged samples, for
                the first steps of a sequence say little of a state. Without one each sample is one step.
            names: of the tensors to judge, if they are not called as here.
            held_out: by samples that nothing was learned from.

        """
        exact = self._exact_held_out if held_out else self._exact
        found = self.outputs(content, self.portions.held_out() if held_out else None, names)
        pairs = list(zip(exact, islice(found, most), strict=False))
        return min(mean_sqnr_db((one[at], other[at]) for one, other in pairs) for at in range(len(exact[0])))

    def hold_function(self, content: bytes) -> None:
        """Hold that a rewritten float file computes what this one does.

        Raises: BadModelError with the largest error, as a share of the largest output.
        """
        for exact, found in zip(self._exact, self.outputs(content), strict=True):
            for one, other in zip(exact, found, strict=True):
                error = float(np.abs(one - other).max()) / max(float(np.abs(one).max()), 1e-6)
                if not error <= SAME:  # also true for NaN
                    raise BadModelError(
                        f"equalizing changed the float model by {error:.2g} of the largest output, {SAME:g} is allowed",
                        remedy="report this network; meanwhile compile without the pass equalize",
                    )

    def alone(self, layer: str, ranges: Mapping[str, Range], *, samples: int) -> float | None:
        """SQNR at the outputs with one layer in int8 and all others in float; None if that layer cannot be int8."""
        try:
            content = self.verbs.quantize_one(self.content, ranges, layer)
        except BadModelError:  # this layer is the whole of what was asked for, so it is the one that cannot
            return None
        return self.judge(content, most=samples) if self.verbs.has_integers(content) else None

    def local_errors(self, content: bytes, *, samples: int) -> dict[str, float]:
        """SQNR of every activation that a file and this one both have, decibels."""
        pairs: dict[str, list[tuple[NDArray[np.float32], NDArray[np.float32]]]] = {}
        runs = [self.verbs.run(one, islice(self._calibration(), samples)) for one in (self.content, content)]
        for exact, found in zip(*runs, strict=True):
            for name in exact.keys() & found.keys():
                pairs.setdefault(name, []).append((exact[name], found[name]))
        return {name: mean_sqnr_db(both) for name, both in pairs.items()}

    @cached_property
    def _exact(self) -> list[Output]:
        return list(self.outputs(self.content))

    @cached_property
    def _exact_held_out(self) -> list[Output]:
        return list(self.outputs(self.content, self.portions.held_out()))


def judged_in(network: Network) -> tuple[str, ...]:
    """Name what a network is judged by: see `Reference.judged`."""
    makers = {layer.outputs[0]: layer for layer in network.layers if layer.op in _SQUASHES}
    return tuple(makers[name].inputs[0] if name in makers else name for name in network.outputs)
