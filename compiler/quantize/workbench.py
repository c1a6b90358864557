"""Float file + plan -> compiled file. Exporting, observing and judging are done once for any number of plans."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from compiler.export import FORMATS
from compiler.observe import Observations
from compiler.observe.ranges import Range, ranges_of
from compiler.plan import STATIC, Format, Pass, Plan, Ranges
from compiler.quantize.correct_bias import correct_bias
from compiler.quantize.equalize import equalize
from compiler.quantize.error import mean_sqnr_db
from compiler.quantize.float_state import layers_of_state, state_names
from compiler.quantize.layers import Constants, Network
from compiler.quantize.learn_rounding import LEAST_SAMPLES, Tensors, learn_rounding
from compiler.quantize.split_outputs import layers_to_split
from edge.errors import BadModelError

Calibration = Callable[[], Iterator[NDArray[np.float32]]]
"""Each call starts anew and yields samples [steps, ...] in a fixed order: of one step, the batch of 1, without a state,
else sequences."""
Output = list[NDArray[np.float32]]
"""All outputs of one sample."""

JUDGED = 64
"""Calibration samples by which a pass is judged, at most. By 32 of them, after the soft-max, equalizing seemed to gain
6 dB on ResNet-8, and lost 1.5 dB on others (measured)."""
OBSERVED = 512
"""Calibration samples that are observed, at most."""
LEAST = 16
"""Of both, however large the network."""
OBSERVED_NUMBERS, JUDGED_NUMBERS = 5e8, 2e8
"""Activations in all that are observed or judged: a MobileNetV2 of 224 pixels (6.7 million a sample) gets 74 and 29."""
LEARNING = 128
"""Calibration samples that weights are learned from, at most. They are judged by others: by every fourth sample."""
HELD_OUT = 4
LEARNING_NUMBERS, STAGE_NUMBERS, LEAST_STAGES = 2e8, 2e9, 4
"""Activations of all samples that are learned from, and of all stages of learning: see OBSERVED_NUMBERS."""
LEARNS: frozenset[Pass] = frozenset({"learn-rounding", "train"})
GAIN_DB: Mapping[Pass, float] = {
    "equalize": -1.0, "correct-bias": -1.0, "split-outputs": -0.1, "float-state": 1.0, "learn-rounding": 0.2,
    "train": 0.2}  # fmt: skip
"""What a pass must gain on the judged samples to be kept: a cheap pass that theory is for goes only where it does harm,
since so few samples are off by a decibel either way, and the select part, which sees files without it, too, says what
belongs in the bundle. What costs time must gain. In one SQNR over boxes and scores the boxes drown the scores, so
splitting outputs is kept unless it costs something."""
NO_KERNEL = "does not apply: no convolution or dense layer with constant weights of its own"
SAME = 1e-4
"""Of the largest output: how far folding factors into weights may move a float output."""


_SQUASHES = frozenset({"Softmax", "Sigmoid", "LogSoftmax", "SOFTMAX", "LOGISTIC", "LOG_SOFTMAX"})


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """A compiled file."""

    content: bytes = field(repr=False)
    sqnr_db: float
    """At the outputs, before a soft-max or sigmoid, mean over the judged samples; the lowest of all outputs."""
    note: str
    """What computes in what, and what became of each pass."""
    judged: tuple[str, ...] = ()
    """Tensors that it is judged by, if they are not called as in the float file that it was made of."""


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    """A float file on its way, and what was seen of its activations."""

    content: bytes = field(repr=False)
    seen: Observations = field(repr=False)
    keep_float: tuple[str, ...] = ()
    judged: tuple[str, ...] = ()
    """What the outputs are judged by is called in this file, if not as in the first."""
    said: str = ""
    """Of the last pass, for people."""


Retrain = Callable[[Ranges], bytes | str]
"""Range method -> a float file of trained weights, or why there is none."""


def _cannot_train(_: Ranges) -> str:
    return "does not apply: it trains torch networks and ONNX files"


class Workbench:
    """Makes any number of plans out of one float file."""

    def __init__(
        self, content: bytes, file_format: Format, calibration: Calibration, retrain: Retrain = _cannot_train
    ) -> None:
        self._verbs = FORMATS[file_format]
        self._calibration, self._retrain = calibration, retrain
        self.content = self._verbs.prepare(content)
        """The float file that quantization starts from."""

    def make(self, plan: Plan) -> Made:
        """Make one file; the passes of the plan are kept where they help, and the note says which.

        Raises: BadModelError.
        """
        work, content, score, notes = self._with_passes(plan)
        final = _planned(plan, work.keep_float)
        return Made(content, score, "; ".join([self._verbs.note(content, final), *notes]), work.judged)

    def judge(self, content: bytes, *, samples: int = JUDGED, names: tuple[str, ...] = ()) -> float:
        """SQNR of a file's outputs against the float model's, decibels: see `Made.sqnr_db`; `names`: `Made.judged`."""
        return self._nearness(self._exact, islice(self._outputs(content, names=names), samples))

    @cached_property
    def seen(self) -> Observations:
        """What the calibration samples do inside the prepared float file."""
        return self._observe(self.content)

    @cached_property
    def network(self) -> Network:
        """Layers and constants of the prepared float file."""
        return self._verbs.read_network(self.content)

    def alone(self, layer: str, ranges: Mapping[str, Range], *, samples: int) -> float | None:
        """SQNR at the outputs with one layer in int8 and all others in float; None if that layer cannot be int8."""
        try:
            content = self._verbs.quantize_one(self.content, ranges, layer)
        except BadModelError:  # this layer is the whole of what was asked for, so it is the one that cannot
            return None
        return self.judge(content, samples=samples) if self._verbs.has_integers(content) else None

    def float_kinds(self, content: bytes) -> frozenset[str]:
        """Kinds of operators that still compute in float in an integer file."""
        return frozenset(self._verbs.float_kinds(content))

    def local_errors(self, content: bytes, *, samples: int) -> dict[str, float]:
        """SQNR of every activation that a file and the float model both have, decibels."""
        pairs: dict[str, list[tuple[NDArray[np.float32], NDArray[np.float32]]]] = {}
        runs = [self._verbs.run(one, islice(self._calibration(), samples)) for one in (self.content, content)]
        for exact, found in zip(*runs, strict=True):
            for name in exact.keys() & found.keys():
                pairs.setdefault(name, []).append((exact[name], found[name]))
        return {name: mean_sqnr_db(both) for name, both in pairs.items()}

    @cached_property
    def _exact(self) -> list[Output]:
        return list(self._outputs(self.content))

    def _judge(self, content: bytes, work: _Work, *, held_out: bool) -> float:
        """Like `judge`; if wanted by samples that nothing was learned from."""
        exact = self._exact_held_out if held_out else self._exact
        return self._nearness(exact, self._outputs(content, self._held_out() if held_out else None, work.judged))

    @cached_property
    def _exact_held_out(self) -> list[Output]:
        return list(self._outputs(self.content, self._held_out()))

    def _held_out(self) -> Iterator[NDArray[np.float32]]:
        return islice(self._calibration(), 0, HELD_OUT * self._bounded(JUDGED, JUDGED_NUMBERS), HELD_OUT)

    def _learning(self) -> Iterator[NDArray[np.float32]]:
        """Calibration samples to learn from."""
        others = (sample for number, sample in enumerate(self._calibration()) if number % HELD_OUT)
        return islice(others, self._bounded(LEARNING, LEARNING_NUMBERS))

    @staticmethod
    def _nearness(exact: list[Output], found: Iterable[Output]) -> float:
        """SQNR of the output that lost most, decibels, over as many samples as were found."""
        pairs = list(zip(exact, found, strict=False))
        return min(mean_sqnr_db((one[at], other[at]) for one, other in pairs) for at in range(len(exact[0])))

    def _observe(self, content: bytes) -> Observations:
        return self._verbs.observe(content, islice(self._calibration(), self._bounded(OBSERVED, OBSERVED_NUMBERS)))

    def _bounded(self, most: int, numbers: float) -> int:
        """How many samples to run, by the size of all activations of one: the same on every machine."""
        return max(LEAST, min(most, int(numbers // self.size)))

    @cached_property
    def size(self) -> int:
        """Numbers in all activations of one sample."""
        steps = self._verbs.run(self.content, islice(self._calibration(), 1))
        return sum(values.size for step in steps for values in step.values())

    @property
    def squashes(self) -> bool:
        """Whether an output is a soft-max or a sigmoid of something."""
        return self._judged != self.network.outputs

    @cached_property
    def _judged(self) -> tuple[str, ...]:
        """Names of the outputs, or of what goes into the soft-max that makes one: that keeps every class apart."""
        return self._judged_in(self.network)

    @staticmethod
    def _judged_in(network: Network) -> tuple[str, ...]:
        makers = {layer.outputs[0]: layer for layer in network.layers if layer.op in _SQUASHES}
        return tuple(makers[name].inputs[0] if name in makers else name for name in network.outputs)

    def _outputs(
        self, content: bytes, samples: Iterable[NDArray[np.float32]] | None = None, names: tuple[str, ...] = ()
    ) -> Iterator[Output]:
        """Run the judged samples; quantizers keep the names of tensors. In the order of the outputs, flattened."""
        judged = islice(self._calibration(), self._bounded(JUDGED, JUDGED_NUMBERS)) if samples is None else samples
        for tensors in self._verbs.run(content, judged):
            yield [tensors[name].reshape(-1) for name in names or self._judged]

    def _with_passes(self, plan: Plan) -> tuple[_Work, bytes, float, list[str]]:
        """Try each pass on top of those that helped."""
        work = _Work(self.content, self.seen if plan.passes or plan.precision in STATIC else {}, plan.keep_float)
        content = self._quantize(work, plan)
        score = self.judge(content)
        notes = []
        for name in plan.passes:
            changed = _PASSES[name](self, work, plan)
            if isinstance(changed, str):
                notes.append(f"{name}: {changed}")
                continue
            trial = self._quantize(changed, plan)
            before = self._judge(content, work, held_out=True) if name in LEARNS else score
            after = self._judge(trial, changed, held_out=name in LEARNS)
            kept = after >= before + GAIN_DB[name]
            said = f" ({changed.said})" if changed.said else ""
            notes.append(f"{name}: {'kept' if kept else 'not kept'}, {before:.1f} to {after:.1f} dB{said}")
            if kept:
                work, content = changed, trial
                score = self._judge(trial, work, held_out=False) if name in LEARNS else after
        return work, content, score, notes

    def _quantize(self, work: _Work, plan: Plan) -> bytes:
        if plan.precision in {"float16", "int8-weights"}:
            return self._verbs.shrink(work.content, plan)
        return self._verbs.quantize(work.content, self._ranges(work, plan), _planned(plan, work.keep_float))

    def _ranges(self, work: _Work, plan: Plan) -> Mapping[str, Range]:
        """A state comes in with the scale with which it left, so that going round changes nothing."""
        ranges = dict(ranges_of(work.seen, plan.ranges, plan.percent))
        for entrance, leaving in state_names(self.network):
            (low, high), (other_low, other_high) = ranges[entrance], ranges[leaving]
            ranges[entrance] = ranges[leaving] = (min(low, other_low), max(high, other_high))
        return ranges

    def _equalize(self, work: _Work, _plan: Plan) -> _Work | str:
        network = self._verbs.read_network(work.content)
        done = equalize(network, {name: one.channel_max for name, one in work.seen.items()})
        if not done.groups:
            return f"does not apply: {done.refused[0] if done.refused else 'channel ranges are alike'}"
        content = self._verbs.write_constants(work.content, done.constants)
        self._hold_function(content)
        return replace(work, content=content, seen=self._observe(content), said=done.said)

    def _correct_bias(self, work: _Work, _plan: Plan) -> _Work | str:
        network = self._verbs.read_network(work.content)
        means = {name: one.channel_mean for name, one in work.seen.items()}
        constants, refused = correct_bias(network, means)
        layers = [one for one in network.layers if one.role in {"linear", "depthwise"}]
        if len(refused) == len(layers):
            return f"does not apply: {refused[0] if refused else 'no layer with constant weights'}"
        return replace(work, content=self._verbs.write_constants(work.content, constants), said="")

    def _split_outputs(self, work: _Work, plan: Plan) -> _Work | str:
        names = layers_to_split(self._verbs.read_network(work.content), self._ranges(work, plan))
        if not names:
            return "does not apply: no output joins tensors of different range"
        return replace(work, keep_float=tuple(dict.fromkeys((*work.keep_float, *names))), said="")

    def _learn_rounding(self, work: _Work, plan: Plan) -> _Work | str:
        kernels = [one for one in self._verbs.read_kernels(work.content) if one.name not in work.keep_float]
        steps = [len(sample) for sample in self._learning()]
        samples = len(steps)
        if not kernels:
            return NO_KERNEL
        if samples < LEAST_SAMPLES:
            return f"does not apply: it learns from {LEAST_SAMPLES} calibration samples, and there are {samples}"

        def runs(constants: Constants) -> Iterator[tuple[Tensors, Tensors]]:
            integer = self._quantize(replace(work, content=self._verbs.write_constants(work.content, constants)), plan)
            both = (self._verbs.run(content, self._learning()) for content in (work.content, integer))
            return zip(*both, strict=True)

        constants = self._verbs.read_network(work.content).constants
        stages = max(LEAST_STAGES, int(STAGE_NUMBERS // (self.size * samples)))
        learned = learn_rounding(kernels, constants, runs, samples=sum(steps), stages=stages)
        return replace(work, content=self._verbs.write_constants(work.content, learned), said="")

    def train(self, ranges: Ranges) -> bytes | str:
        """Return the float ONNX file with trained weights, or why there is none: see `train_weights`."""
        from compiler.quantize.train_weights import LEAST_SAMPLES, Lesson, hidden, train_weights

        if state_names(self.network):
            return "does not apply: it trains networks without a state"
        samples = list(self._learning())
        if len(samples) < LEAST_SAMPLES:
            return f"does not apply: it learns from {LEAST_SAMPLES} calibration samples, and there are {len(samples)}"
        work = self._with_passes(Plan("onnxruntime", "int8", ranges=ranges, passes=("equalize", "learn-rounding")))[0]
        network, kernels = self._verbs.read_network(work.content), self._verbs.read_kernels(work.content)
        if not kernels:
            return NO_KERNEL
        spans = {name: span for name, span in ranges_of(work.seen, ranges).items() if name not in hidden(network)}
        taught = [np.stack(one) for one in zip(*self._outputs(self.content, samples), strict=True)]
        lesson = Lesson(
            work.content, kernels, network.constants, spans, self._judged, np.stack(samples), taught, self.size
        )
        try:
            return self._verbs.write_constants(work.content, train_weights(lesson))
        except (BadModelError, RuntimeError, NotImplementedError) as exc:
            return f"does not apply: {str(exc).splitlines()[0]}"

    def _train(self, work: _Work, plan: Plan) -> _Work | str:
        made = self._retrain(plan.ranges)
        if isinstance(made, str):
            return made
        content = self._verbs.prepare(made)
        judged = self._judged_in(self._verbs.read_network(content))
        return replace(work, content=content, seen=self._observe(content), judged=judged, said="")

    def _float_state(self, work: _Work, _plan: Plan) -> _Work | str:
        names = layers_of_state(self._verbs.read_network(work.content))
        if not names:
            return "does not apply: no layers between the products and the state"
        return replace(work, keep_float=tuple(dict.fromkeys((*work.keep_float, *names))), said="")

    def _hold_function(self, content: bytes) -> None:
        """Hold that a rewritten float file computes what it did.

        Raises: BadModelError with the largest error, as a share of the largest output.
        """
        for exact, found in zip(self._exact, self._outputs(content), strict=True):
            for one, other in zip(exact, found, strict=True):
                error = float(np.abs(one - other).max()) / max(float(np.abs(one).max()), 1e-6)
                if not error <= SAME:  # also true for NaN
                    raise BadModelError(
                        f"equalizing changed the float model by {error:.2g} of the largest output, {SAME:g} is allowed",
                        remedy="report this network; meanwhile compile without the pass equalize",
                    )


def _planned(plan: Plan, keep_float: tuple[str, ...]) -> Plan:
    """Return the plan with the layers that a pass moved to float."""
    precision = "mixed" if keep_float and plan.precision == "int8" else plan.precision
    return replace(plan, precision=precision, keep_float=keep_float)


_PASSES: Mapping[Pass, Callable[[Workbench, _Work, Plan], _Work | str]] = {
    "equalize": Workbench._equalize,
    "correct-bias": Workbench._correct_bias,
    "split-outputs": Workbench._split_outputs,
    "float-state": Workbench._float_state,
    "learn-rounding": Workbench._learn_rounding,
    "train": Workbench._train,
}
"""Each returns the changed work, or why it does not apply."""
