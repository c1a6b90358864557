"""Float ONNX model + samples -> Observations: every inner value becomes an output of ONNX Runtime."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from compiler.observe import Observations, Observer
from compiler.quiet import quiet

CHANNEL_AXIS = 1
_BACK = "_DequantizeLinear_Output"
"""What ONNX Runtime's quantizer appends to the name of an activation that it rounds."""


def observe_onnx(content: bytes, samples: Iterable[NDArray[np.float32]]) -> Observations:
    """Run the samples and gather every float activation, the input and the outputs included."""
    observers: dict[str, Observer] = {}
    for tensors in run_onnx(content, samples):
        for name, values in tensors.items():
            observers.setdefault(name, Observer(CHANNEL_AXIS)).see(values)
    return {name: one.result() for name, one in observers.items()}


def run_onnx(content: bytes, samples: Iterable[NDArray[np.float32]]) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Yield for each step of each sample the float activations by name; of a QDQ file as they are after rounding.

    A sample is [steps, ...], 1 without a state. A state is zero at its beginning and goes from step to step.
    """
    with quiet():
        import onnx
        import onnxruntime

        model = onnx.load_model_from_string(content)
        known = [value.name for value in model.graph.output]
        inner = [name for node in model.graph.node for name in node.output if name and name not in known]
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner)
        options = onnxruntime.SessionOptions()
        options.log_severity_level, options.intra_op_num_threads = 4, 1
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feed, *states = session.get_inputs()
    names = [value.name for value in session.get_outputs()]
    exits = known[len(known) - len(states) :]
    for sample in samples:
        given = {state.name: np.zeros(state.shape, np.float32) for state in states}
        for x in sample:
            given[feed.name] = np.ascontiguousarray(x, np.float32).reshape(feed.shape)
            found = dict(zip(names, session.run(None, given), strict=True))
            after = {state.name: found[name] for state, name in zip(states, exits, strict=True)}
            found |= {name.removesuffix(_BACK): one for name, one in found.items() if name.endswith(_BACK)}
            yield given | {
                name: one for name, one in found.items() if getattr(one, "dtype", None) == np.float32 and one.size
            }
            given = given | after
