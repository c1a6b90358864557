"""Float ONNX file -> the same file with trained weights: the lesson that `train_weights` needs."""

import numpy as np

from compiler.observe.ranges import ranges_of
from compiler.plan import Ranges
from compiler.quantize.changes import NO_KERNEL
from compiler.quantize.float_state import state_names
from compiler.quantize.reference import Reference
from compiler.quantize.work import Work
from edge.errors import BadModelError


def why_not(reference: Reference) -> str:
    """Say why there is nothing to train with; empty if there is."""
    from compiler.quantize.train_weights import LEAST_SAMPLES

    if state_names(reference.network):
        return "does not apply: it trains networks without a state"
    samples = sum(1 for _ in reference.portions.learned())
    if samples < LEAST_SAMPLES:
        return f"does not apply: it learns from {LEAST_SAMPLES} calibration samples, and there are {samples}"
    return ""


def teach(reference: Reference, work: Work, ranges: Ranges) -> bytes | str:
    """Return the file with weights trained towards the reference, or why there is none."""
    from compiler.quantize.train_weights import Lesson, hidden, train_weights

    verbs, samples = reference.verbs, list(reference.portions.learned())
    network, kernels = verbs.read_network(work.content), verbs.read_kernels(work.content)
    if not kernels:
        return NO_KERNEL
    spans = {name: span for name, span in ranges_of(work.seen, ranges).items() if name not in hidden(network)}
    taught = [np.stack(one) for one in zip(*reference.outputs(reference.content, samples), strict=True)]
    lesson = Lesson(
        content=work.content,
        kernels=kernels,
        constants=network.constants,
        ranges=spans,
        outputs=reference.judged,
        samples=np.stack(samples),
        taught=taught,
        size=reference.size,
    )
    try:
        return verbs.write_constants(work.content, train_weights(lesson))
    except (BadModelError, RuntimeError, NotImplementedError) as exc:
        return f"does not apply: {str(exc).splitlines()[0]}"
