"""Reads ncnn's text graphs (.param): only the figures that say how much work a network is.

Source of the format: ncnn documentation, "param and model file structure" and "operation param weight table".
"""

from dataclasses import dataclass, field
from math import ceil, prod

from compiler.latency.work import Tally, Work

Shape = tuple[int, ...]
"""(height, width, channels), or (features,)."""
FREE = {"Input", "Split", "Noop", "Flatten", "Reshape", "Dropout", "PriorBox", "MemoryData"}
"""Move no data, or are computed before the first inference."""
CONVOLUTIONS = {"Convolution", "ConvolutionDepthWise", "DeconvolutionDepthWise"}
EXPONENTIAL = {"Sigmoid", "Swish", "Softmax", "TanH", "Mish"}
SHAPES_KEY = "-23330"


@dataclass(frozen=True, slots=True)
class Layer:
    """One line."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    values: dict[str, str]

    def number(self, key: str, default: int = 0) -> int:
        return int(self.values.get(key, default))

    @property
    def kernel(self) -> tuple[int, int]:
        width = self.number("1")
        return self.number("11", width), width

    @property
    def stride(self) -> tuple[int, int]:
        width = self.number("3", 1)
        return self.number("13", width), width

    @property
    def dilation(self) -> tuple[int, int]:
        width = self.number("2", 1)
        return self.number("12", width), width


@dataclass(slots=True)
class Graph:
    """Shapes of all blobs, and what has been counted so far.

    `postprocessing` is set by SSD's last layer, which softmaxes and suppresses every prior box. Those of YOLO stay out
    of the count, too, but look at few boxes.
    """

    size: Shape
    shapes: dict[str, Shape] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    postprocessing: bool = False

    def add(self, layer: Layer) -> None:
        """Count one layer."""
        if layer.kind.endswith("DetectionOutput"):
            self.postprocessing |= layer.kind == "DetectionOutput"
            return
        self._learn_shapes(layer)
        if layer.kind in FREE or not layer.outputs:
            return
        read = [self.shapes[name] for name in layer.inputs]
        written = [self.shapes[name] for name in layer.outputs]
        if layer.kind in CONVOLUTIONS:
            self.tally.convolution(
                read[0],
                written[0],
                layer.kernel,
                groups=layer.number("7", 1),
                stride=layer.stride,
                dilation=layer.dilation,
                transposed=layer.kind.startswith("Deconvolution"),
            )
        elif layer.kind == "InnerProduct":
            self.tally.dense(prod(read[0]), prod(written[0]), layer.number("2"))
        elif layer.kind == "Pooling":
            # ncnn's global pools have no window of their own
            whole = prod(read[0]) // prod(written[0])
            self.tally.pool(prod(written[0]), whole if layer.number("4") else prod(layer.kernel))
        else:
            count = self.tally.exponential if layer.kind in EXPONENTIAL else self.tally.other
            count(sum(prod(shape) for shape in read + written))

    def _learn_shapes(self, layer: Layer) -> None:
        """Take the shapes that the file gives, or work out those of the few kinds of layer in files without them."""
        if SHAPES_KEY in layer.values:
            numbers = [int(number) for number in layer.values[SHAPES_KEY].split(",")[1:]]
            for index, name in enumerate(layer.outputs):
                dimensions, *extents = numbers[4 * index : 4 * index + 4]
                self.shapes[name] = (
                    (extents[1], extents[0], extents[2]) if dimensions == 3 else (prod(extents[:dimensions]),)
                )
            return
        read = [self.shapes[name] for name in layer.inputs if name in self.shapes]
        shape = infer_shape(layer, read) if read else self.size
        self.shapes.update(dict.fromkeys(layer.outputs, shape))


def infer_shape(layer: Layer, read: list[Shape]) -> Shape:  # noqa: PLR0911  one case for each kind
    """Shape of a layer's outputs."""
    match layer.kind:
        case "Slice":
            return read[0][0], read[0][1], read[0][2] // len(layer.outputs)
        case "Convolution" | "ConvolutionDepthWise":
            pad = layer.number("4")
            reach = [(k - 1) * d + 1 for k, d in zip(layer.kernel, layer.dilation, strict=True)]
            sizes = [
                ceil(size / step) if pad < 0 else (size + 2 * pad - extent) // step + 1
                for size, extent, step in zip(read[0], reach, layer.stride, strict=False)
            ]
            return sizes[0], sizes[1], layer.number("0")
        case "Pooling" if layer.number("4"):
            return (read[0][-1],)
        case "Pooling":
            window, step, pad = layer.number("1"), layer.number("2", 1), layer.number("3")
            rows, columns = (ceil((size + 2 * pad - window) / step) + 1 for size in read[0][:2])
            return rows, columns, read[0][2]
        case "Padding":
            top, bottom, left, right = (layer.number(key) for key in "0123")
            front, behind = layer.number("7"), layer.number("8")
            return read[0][0] + top + bottom, read[0][1] + left + right, read[0][2] + front + behind
        case "Concat":
            return join(read, layer.number("0"))
        case "Interp":
            return int(read[0][0] * float(layer.values["1"])), int(read[0][1] * float(layer.values["2"])), read[0][2]
        case "InnerProduct":
            return (layer.number("0"),)
        case "Reshape" | "Flatten":
            return (prod(read[0]),)
    return read[0]


def join(read: list[Shape], axis: int) -> Shape:
    """Shape of tensors joined along ncnn's axis 0, channels; what has no channels is joined as features."""
    if len(read[0]) == 3 and axis == 0:
        return read[0][0], read[0][1], sum(shape[2] for shape in read)
    return (sum(prod(shape) for shape in read),)


def read_graph(text: str, size: Shape) -> tuple[Work, bool]:
    """Work of one inference on an input of `size`, and whether the graph ends in post-processing."""
    graph = Graph(size)
    for line in text.splitlines()[2:]:
        kind, _name, inputs, outputs, *rest = line.split()
        names, count = rest[: int(inputs) + int(outputs)], int(inputs)
        values = dict(pair.split("=", 1) for pair in rest[len(names) :])
        graph.add(Layer(kind, tuple(names[:count]), tuple(names[count:]), values))
    return graph.tally.work(), graph.postprocessing
