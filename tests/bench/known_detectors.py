"""Detectors that were timed with LiteRT, as short tables of our own, and their work. Sources: named at each."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from known_networks import MOBILENET_V2, Net, bottleneck, mobilenet_v2_stage

from compiler.latency.work import Work


def ssdlite_mobilenet_v2() -> Work:
    """Sandler and others, 2018, section 6.2, as TensorFlow's detection models have it: 300 pixels, 91 classes."""
    net = Net(300, 300).conv(32, 3, 2)
    for stage in MOBILENET_V2[:5]:
        mobilenet_v2_stage(net, *stage)
    tapped = (net.height, net.width, net.channels * 6)  # the first head reads the next block's expansion
    for stage in MOBILENET_V2[5:]:
        mobilenet_v2_stage(net, *stage)
    ssdlite_head(net.branch(*tapped), boxes=3)
    ssdlite_head(net.conv(1280), boxes=6)
    for middle, channels in ((256, 512), (128, 256), (128, 256), (64, 128)):
        ssdlite_head(net.conv(middle).depthwise(3, 2).conv(channels), boxes=6)
    return net.work()


def ssdlite_head(net: Net, boxes: int, classes: int = 91) -> None:
    """Corners and classes of one map."""
    for outputs in (boxes * 4, boxes * classes):
        net.branch(net.height, net.width, net.channels).depthwise().conv(outputs)


@dataclass(frozen=True, slots=True)
class EfficientDet:
    """One size of EfficientDet-Lite. Source: google/automl, hparams_config.py and efficientnet_lite_builder.py.

    `width`, `depth`: the backbone's multipliers; `channels`, `cells`: of the pyramid; `repeats`: of the heads.
    """

    size: int
    width: float
    depth: float
    channels: int
    cells: int
    repeats: int

    def work(self) -> Work:
        """Of the graph without box decoding; each level of the heads counts its weights again."""
        net = Net(self.size, self.size).conv(32, 3, 2)
        taps = self._backbone(net)
        levels = [taps[0].height, taps[1].height, taps[2].height]
        levels += [ceil(levels[-1] / 2), ceil(levels[-1] / 4)]
        self._pyramid(net, taps, levels)
        for level in levels:
            self._heads(net, level)
        net.tally.exponential(2 * sum(level**2 for level in levels) * 9 * 90)
        return net.work()

    def _backbone(self, net: Net) -> list[Net]:
        """EfficientNet-Lite; maps of stride 8, 16 and 32."""
        taps = []
        for index, (expansion, channels, repeats, stride, kernel) in enumerate(EFFICIENTNET):
            blocks = repeats if index in {0, 6} else ceil(repeats * self.depth)
            for block in range(blocks):
                wide = net.channels * expansion
                bottleneck(net, wide, eights(channels * self.width), kernel, stride if block == 0 else 1)
            if index in {2, 4, 6}:
                taps.append(net.branch(net.height, net.width, net.channels))
        return taps

    def _pyramid(self, net: Net, taps: list[Net], levels: list[int]) -> None:
        """Resampling and all cells: down from the coarsest level, and up again."""
        for tap in (*taps, *taps[1:], taps[2]):
            tap.branch(tap.height, tap.width, tap.channels).conv(self.channels)
        for level in levels[3:]:
            net.tally.pool(level**2 * self.channels, 9)
        for _ in range(self.cells):
            for fine, coarse in zip(levels[3::-1], levels[:0:-1], strict=True):
                net.tally.other((fine**2 + coarse**2) * self.channels)
                self._node(net, fine, inputs=2)
            for level in levels[1:]:
                net.tally.pool(level**2 * self.channels, 9)
                self._node(net, level, inputs=2 if level == levels[-1] else 3)

    def _node(self, net: Net, level: int, inputs: int) -> None:
        net.branch(level, level, self.channels).elementwise(inputs).elementwise().depthwise().conv(self.channels)

    def _heads(self, net: Net, level: int) -> None:
        for outputs in (9 * 4, 9 * 90):
            head = net.branch(level, level, self.channels)
            for _ in range(self.repeats):
                head.depthwise().conv(self.channels).elementwise()
            head.depthwise().conv(outputs)


EFFICIENTNET = (
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)  # fmt: skip
"""Tan and Le, 2019, table 1: (expansion, channels, repeats, stride, kernel)."""
EFFICIENTDETS = {
    "efficientdet_lite0": EfficientDet(320, 1.0, 1.0, 64, 3, 3),
    "efficientdet_lite1": EfficientDet(384, 1.0, 1.1, 88, 4, 3),
    "efficientdet_lite2": EfficientDet(448, 1.1, 1.2, 112, 5, 3),
    "efficientdet_lite3": EfficientDet(512, 1.2, 1.4, 160, 6, 4),
    "efficientdet_lite4": EfficientDet(640, 1.4, 1.8, 224, 7, 4),
}


def eights(channels: float) -> int:
    """The nearest multiple of eight that is not more than a tenth below."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


DETECTORS: dict[str, tuple[int, Callable[[], Work]]] = {
    "ssdlite_mobilenet_v2": (300, ssdlite_mobilenet_v2),
    **{name: (one.size, one.work) for name, one in EFFICIENTDETS.items()},
}
"""As `known_networks.OURS`. What was timed ends in box suppression."""
