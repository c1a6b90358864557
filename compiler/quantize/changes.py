"""What each pass of a plan changes in a float file, or why it does not apply; the workbench settles if it is kept."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from compiler.plan import Pass, Plan, Ranges
from compiler.quantize.correct_bias import correct_bias
from compiler.quantize.equalize import equalize
from compiler.quantize.float_state import layers_of_state
from compiler.quantize.layers import Constants
from compiler.quantize.learn_rounding import LEAST_SAMPLES, Tensors, learn_rounding
from compiler.quantize.reference import Reference, judged_in
from compiler.quantize.split_outputs import layers_to_split
from compiler.quantize.work import Work, quantize, ranges_for

Change = Callable[[Reference, Work, Plan], Work | str]
"""Returns the changed work, or why the pass does not apply."""
Retrain = Callable[[Ranges], bytes | str]
"""Range method -> a float file of trained weights, or why there is none."""

NO_KERNEL = "does not apply: no convolution or dense layer with constant weights of its own"


def _equalize(reference: Reference, work: Work, _plan: Plan) -> Work | str:
    network = reference.verbs.read_network(work.content)
    done = equalize(network, {name: one.channel_max for name, one in work.seen.items()})
    if not done.groups:
        return f"does not apply: {done.refused[0] if done.refused else 'channel ranges are alike'}"
    content = reference.verbs.write_constants(work.content, done.constants)
    reference.hold_function(content)
    return replace(work, content=content, seen=reference.observe(content), said=done.said)


def _correct_bias(reference: Reference, work: Work, _plan: Plan) -> Work | str:
    network = reference.verbs.read_network(work.content)
    constants, refused = correct_bias(network, {name: one.channel_mean for name, one in work.seen.items()})
    layers = [one for one in network.layers if one.role in {"linear", "depthwise"}]
    if len(refused) == len(layers):
        return f"does not apply: {refused[0] if refused else 'no layer with constant weights'}"
    return replace(work, content=reference.verbs.write_constants(work.content, constants), said="")


def _split_outputs(reference: Reference, work: Work, plan: Plan) -> Work | str:
    names = layers_to_split(reference.verbs.read_network(work.content), ranges_for(reference, work, plan))
    return work.also_float(names) if names else "does not apply: no output joins tensors of different range"


def _float_state(reference: Reference, work: Work, _plan: Plan) -> Work | str:
    names = layers_of_state(reference.verbs.read_network(work.content))
    return work.also_float(names) if names else "does not apply: no layers between the products and the state"


def _learn_rounding(reference: Reference, work: Work, plan: Plan) -> Work | str:
    verbs, portions = reference.verbs, reference.portions
    kernels = [one for one in verbs.read_kernels(work.content) if one.name not in work.keep_float]
    steps = [len(sample) for sample in portions.learned()]
    if not kernels:
        return NO_KERNEL
    if len(steps) < LEAST_SAMPLES:
        return f"does not apply: it learns from {LEAST_SAMPLES} calibration samples, and there are {len(steps)}"

    def runs(constants: Constants) -> Iterator[tuple[Tensors, Tensors]]:
        integer = quantize(reference, replace(work, content=verbs.write_constants(work.content, constants)), plan)
        both = (verbs.run(content, portions.learned()) for content in (work.content, integer))
        return zip(*both, strict=True)

    constants = verbs.read_network(work.content).constants
    learned = learn_rounding(kernels, constants, runs, samples=sum(steps), stages=portions.stages(len(steps)))
    return replace(work, content=verbs.write_constants(work.content, learned), said="")


def training(retrain: Retrain) -> Change:
    """Return the pass that puts trained weights in the place of the file's."""

    def train(reference: Reference, work: Work, plan: Plan) -> Work | str:
        made = retrain(plan.ranges)
        if isinstance(made, str):
            return made
        content = reference.verbs.prepare(made)
        judged = judged_in(reference.verbs.read_network(content))
        return replace(work, content=content, seen=reference.observe(content), judged=judged, said="")

    return train


CHANGES: Mapping[Pass, Change] = {
    "equalize": _equalize,
    "correct-bias": _correct_bias,
    "split-outputs": _split_outputs,
    "float-state": _float_state,
    "learn-rounding": _learn_rounding,
}
"""`train` is missing: what trains is the model as it was given, which no workbench knows."""
