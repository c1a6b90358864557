"""h' = (1 - z) n + z h in int8 -> the same in float; the matrix products stay int8.

A state in 8 bits forgets: where a gate lets less than half a step of it through, the step is rounded away, and what the
network should gather over a hundred steps stays what it was. Behind integer products the gates cost next to nothing in
float, and then the state keeps 24 bits.
"""

from collections.abc import Iterator

from compiler.quantize.layers import Layer, Network

_PRODUCTS = frozenset(
    {"Conv", "ConvTranspose", "Gemm", "MatMul", "GRU", "LSTM", "RNN"}
    | {"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL"}
)


def layers_of_state(network: Network) -> tuple[str, ...]:
    """Name what lies between the matrix products and the new states, in the order of computation."""
    found = {layer.name for layer in _before(network)}
    return tuple(layer.name for layer in network.layers if layer.name in found)


def state_names(network: Network) -> tuple[tuple[str, str], ...]:
    """Name the activations by which each state comes in and leaves: inputs after the first, the last outputs."""
    states = network.inputs[1:]
    return tuple(zip(states, network.outputs[len(network.outputs) - len(states) :], strict=True))


def _before(network: Network) -> Iterator[Layer]:
    makers = {name: layer for layer in network.layers for name in layer.outputs}
    waiting = [output for _, output in state_names(network)]
    seen: set[str] = set()
    while waiting:
        layer = makers.get(waiting.pop())
        if layer is None or layer.name in seen or layer.op in _PRODUCTS:
            continue
        seen.add(layer.name)
        waiting.extend(layer.inputs)
        yield layer
