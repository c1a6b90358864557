"""Networks of the literature as short tables of our own, and their work. Sources: the papers named at each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil

from compiler.latency.work import Tally, Work


@dataclass(slots=True)
class Net:
    """Builds one network layer by layer; padding is "same" unless said otherwise."""

    height: int
    width: int
    channels: int = 3
    tally: Tally = field(default_factory=Tally)

    @property
    def size(self) -> int:
        return self.height * self.width * self.channels

    def conv(self, channels: int, kernel: int = 1, stride: int = 1, *, groups: int = 1, valid: bool = False) -> "Net":
        read = (self.height, self.width, self.channels)
        self.height, self.width = (
            (size - kernel) // stride + 1 if valid else ceil(size / stride) for size in (self.height, self.width)
        )
        self.channels = channels
        written = (self.height, self.width, channels)
        self.tally.convolution(read, written, (kernel, kernel), groups=groups, stride=(stride, stride))
        return self

    def depthwise(self, kernel: int = 3, stride: int = 1) -> "Net":
        return self.conv(self.channels, kernel, stride, groups=self.channels)

    def pool(self, stride: int = 2, *, kernel: int = 0, window: int = 0) -> "Net":
        """With a kernel: no padding, and the last window may hang over, as Caffe does. `window`: with padding."""
        self.height, self.width = (
            ceil((size - kernel) / stride) + 1 if kernel else ceil(size / stride) for size in (self.height, self.width)
        )
        self.tally.pool(self.size, (kernel or window or stride) ** 2)
        return self

    def branch(self, height: int, width: int, channels: int) -> "Net":
        """Another tensor of the same network; its work counts in the same place."""
        return Net(height, width, channels, self.tally)

    def mean(self) -> "Net":
        before = self.size
        self.height = self.width = 1
        self.tally.other(before + self.size)
        return self

    def elementwise(self, inputs: int = 1) -> "Net":
        self.tally.other((inputs + 1) * self.size)
        return self

    def dense(self, outputs: int) -> "Net":
        self.tally.dense(self.size, outputs, self.size * outputs)
        self.height, self.width, self.channels = 1, 1, outputs
        return self

    def gate(self, middle: int) -> "Net":
        """Squeeze and excite: Hu and others, 2018."""
        self.tally.other(self.size + self.channels)
        self.tally.dense(self.channels, middle, self.channels * middle)
        self.tally.dense(middle, self.channels, self.channels * middle)
        self.tally.other(2 * self.channels)
        self.tally.other(2 * self.size + self.channels)
        return self

    def work(self) -> Work:
        return self.tally.work()


def mobilenet_v1() -> Work:
    """Howard and others, 2017, table 1."""
    net = Net(224, 224).conv(32, 3, 2)
    for channels, stride in [
        (64, 1),
        (128, 2),
        (128, 1),
        (256, 2),
        (256, 1),
        (512, 2),
        *[(512, 1)] * 5,
        (1024, 2),
        (1024, 1),
    ]:
        net.depthwise(3, stride).conv(channels)
    return net.mean().dense(1000).elementwise().work()


def mobilenet_v2() -> Work:
    """Sandler and others, 2018, table 2: (expansion, channels, repeats, stride)."""
    net = Net(224, 224).conv(32, 3, 2)
    for stage in MOBILENET_V2:
        mobilenet_v2_stage(net, *stage)
    return net.conv(1280).mean().dense(1000).elementwise().work()


MOBILENET_V2 = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip


def mobilenet_v2_stage(net: Net, expansion: int, channels: int, repeats: int, stride: int) -> None:
    """One line of that table."""
    for index in range(repeats):
        bottleneck(net, net.channels * expansion, channels, 3, stride if index == 0 else 1)


def bottleneck(net: Net, expanded: int, channels: int, kernel: int, stride: int, gate: int = 0, act: int = 0) -> None:
    """Expand, depthwise, project; `act` counts an activation that is an operator of its own."""
    before = net.channels
    if expanded != before:
        net.conv(expanded)
        for _ in range(act):
            net.elementwise()
    net.depthwise(kernel, stride)
    if gate:
        net.gate(gate)
    for _ in range(act):
        net.elementwise()
    net.conv(channels)
    if stride == 1 and before == channels:
        net.elementwise(2)


def mobilenet_v3_large() -> Work:
    """Howard and others, 2019, table 1: (kernel, expanded, channels, gated, h-swish, stride)."""
    rows = (
        (3, 16, 16, 0, 0, 1), (3, 64, 24, 0, 0, 2), (3, 72, 24, 0, 0, 1), (5, 72, 40, 1, 0, 2), (5, 120, 40, 1, 0, 1),
        (5, 120, 40, 1, 0, 1), (3, 240, 80, 0, 1, 2), (3, 200, 80, 0, 1, 1), (3, 184, 80, 0, 1, 1),
        (3, 184, 80, 0, 1, 1),
        (3, 480, 112, 1, 1, 1), (3, 672, 112, 1, 1, 1), (5, 672, 160, 1, 1, 2), (5, 960, 160, 1, 1, 1),
        (5, 960, 160, 1, 1, 1),
    )  # fmt: skip
    return mobilenet_v3(rows, 960, 1280)


def mobilenet_v3_small() -> Work:
    """The same, table 2."""
    rows = (
        (3, 16, 16, 1, 0, 2), (3, 72, 24, 0, 0, 2), (3, 88, 24, 0, 0, 1), (5, 96, 40, 1, 1, 2), (5, 240, 40, 1, 1, 1),
        (5, 240, 40, 1, 1, 1), (5, 120, 48, 1, 1, 1), (5, 144, 48, 1, 1, 1), (5, 288, 96, 1, 1, 2),
        (5, 576, 96, 1, 1, 1),
        (5, 576, 96, 1, 1, 1),
    )  # fmt: skip
    return mobilenet_v3(rows, 576, 1024)


def mobilenet_v3(rows: tuple[tuple[int, ...], ...], last: int, hidden: int) -> Work:
    net = Net(224, 224).conv(16, 3, 2).elementwise()
    for kernel, expanded, channels, gated, act, stride in rows:
        bottleneck(net, expanded, channels, kernel, stride, gate=expanded // 4 * gated, act=act)
    return net.conv(last).elementwise().mean().dense(hidden).elementwise().dense(1000).elementwise().work()


def vgg16() -> Work:
    """Simonyan and Zisserman, 2014, configuration D."""
    net = Net(224, 224)
    for channels, repeats in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(repeats):
            net.conv(channels, 3)
        net.pool()
    return net.dense(4096).dense(4096).dense(1000).elementwise().work()


def resnet18() -> Work:
    """He and others, 2015, table 1; the first shortcut is projected, too, as in the Caffe models of the time."""
    net = Net(224, 224).conv(64, 7, 2).pool(window=3)
    for channels, first_stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        for index, stride in enumerate((first_stride, 1)):
            if index == 0:
                net.branch(net.height, net.width, net.channels).conv(channels, 1, stride)
            net.conv(channels, 3, stride).conv(channels, 3).elementwise(2).elementwise()
    return net.mean().dense(1000).elementwise().work()


def squeezenet() -> Work:
    """Iandola and others, 2016; version 1.1 with 227 pixels: (squeeze, expand); the last convolution is padded by 1."""
    net = Net(227, 227).conv(64, 3, 2, valid=True).pool(kernel=3)
    for index, (squeeze, expand) in enumerate(
        ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
    ):
        net.conv(squeeze)
        net.branch(net.height, net.width, squeeze).conv(expand)
        net.conv(expand, 3)
        net.channels = 2 * expand
        net.elementwise()  # the two halves are joined
        if index in (1, 3):
            net.pool(kernel=3)
    net.height, net.width = net.height + 2, net.width + 2
    return net.conv(1000).mean().elementwise().work()


OURS: dict[str, tuple[int, Callable[[], Work]]] = {
    "mobilenet_v1_paper": (224, mobilenet_v1),
    "mobilenet_v2_paper": (224, mobilenet_v2),
    "mobilenet_v3_large_paper": (224, mobilenet_v3_large),
    "mobilenet_v3_small_paper": (224, mobilenet_v3_small),
}
"""Networks that a table names and whose work comes from here: pixels of the input, and how to count."""
