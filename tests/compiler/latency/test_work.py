"""Work is counted right: against the papers, against hand-made files, one reader against the other."""

from typing import Any

import pytest
from latency_variants import variant

from compiler.latency.read import read_work
from compiler.latency.tables import load_networks, load_tables
from compiler.latency.work import Tally, Work


def known() -> Any:
    import known_networks

    return known_networks


SMALL = {
    "first": 4 * 4 * 8 * 27, "depthwise": 4 * 4 * 8 * 9, "pointwise": 4 * 4 * 8 * 16, "dense": 64,
    "weights": 216 + 72 + 128 + 64, "pointwise_elements": 16 * 8 + 16 * 16, "spatial_elements": 192 + 128,
    "other_elements": 16 * 16 + 16,
    "elements": (192 + 128) + (128 + 128) + (128 + 256) + (256 + 16) + 20, "operators": 5,
}  # fmt: skip


def test_a_tflite_file_is_counted_operator_by_operator(small_tflite: bytes) -> None:
    assert read_work(small_tflite, variant()) == Work(**SMALL)


def test_an_onnx_file_of_the_same_network_is_the_same_work(small_onnx: bytes) -> None:
    assert read_work(small_onnx, variant("onnxruntime")) == Work(**SMALL)


def test_a_graph_with_operators_that_are_not_counted_is_not_counted_at_all(small_onnx: bytes) -> None:
    import onnx

    model = onnx.load_from_string(small_onnx)
    model.graph.node[2].domain = "com.example"
    assert read_work(model.SerializeToString(), variant("onnxruntime")) is None


def test_a_graph_with_open_shapes_is_not_counted(small_onnx: bytes) -> None:
    import onnx

    model = onnx.load_from_string(small_onnx)
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    assert read_work(model.SerializeToString(), variant("onnxruntime")) is None


def test_a_pool_reads_each_of_its_windows_and_a_sigmoid_counts_as_exponential() -> None:
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("MaxPool", ["x"], ["p"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Sigmoid", ["p"], ["s"]),
        helper.make_node("GlobalAveragePool", ["s"], ["y"]),
    ]
    shapes = [("x", [1, 4, 8, 8]), ("y", [1, 4, 1, 1])]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes]
    graph = helper.make_graph(nodes, "pools", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    work = read_work(model.SerializeToString(), variant("onnxruntime"))
    pooled = 4 * 4 * 4
    assert work is not None
    assert work.exponential_elements == 2 * pooled
    assert work.other_elements == pooled * (9 + 1) + 2 * pooled + (pooled + 4)


def test_tensors_beyond_the_caches_are_counted_apart() -> None:
    tally = Tally()
    tally.convolution((512, 512, 4), (512, 512, 8), (1, 1))
    tally.convolution((8, 8, 4), (8, 8, 8), (1, 1))
    assert tally.work().large_elements == 512 * 512 * 12


GRAPH = """7767517
4 4
Input x 0 1 x -23330=4,3,8,8,3 0=8 1=8 2=3
Convolution c 1 1 x c -23330=4,3,4,4,8 0=8 1=3 3=2 4=1 5=1 6=216
ConvolutionDepthWise d 1 1 c d 0=8 1=3 11=3 2=1 12=1 3=1 13=1 4=1 14=1 5=1 6=72 7=8
InnerProduct y 1 1 d y -23330=4,1,4,1,1 0=4 1=1 2=512
"""


def test_an_ncnn_graph_is_counted_with_and_without_shapes_in_it() -> None:
    import ncnn_graph

    work, postprocessing = ncnn_graph.read_graph(GRAPH, (8, 8, 3))
    assert (work.first, work.depthwise, work.dense) == (16 * 216, 16 * 72, 512)
    assert (work.operators, postprocessing) == (3, False)


def test_bytes_follow_the_dtype() -> None:
    assert Work(weights=10, elements=20).bytes_moved == 120
    assert Work(weights=10, elements=20, dtype="int8").bytes_moved == 30


@pytest.mark.parametrize(
    ("name", "millions"),
    [("mobilenet_v1", 569), ("mobilenet_v2", 300), ("mobilenet_v3_large", 219), ("mobilenet_v3_small", 56)],
)
def test_the_papers_own_totals_come_out(name: str, millions: int) -> None:
    assert getattr(known(), name)().macs / 1e6 == pytest.approx(millions, rel=0.025)


def test_a_detector_comes_out_near_the_papers_total() -> None:
    network = load_networks().network["ssdlite_mobilenet_v2"]
    assert network.postprocessing
    assert network.work.macs * (320 / 300) ** 2 / 1e6 == pytest.approx(800, rel=0.08)


@pytest.mark.parametrize(
    ("ours", "published"),
    [("mobilenet_v1", "mobilenet"), ("vgg16", "vgg16"), ("resnet18", "resnet18"), ("squeezenet", "squeezenet")],
)
def test_stored_work_is_what_our_own_tables_of_the_network_give(ours: str, published: str) -> None:
    counted, stored = getattr(known(), ours)(), load_networks().network[published].work
    for kind in ("pointwise", "winograd", "spatial", "first", "depthwise", "dense"):
        assert getattr(counted, kind) == pytest.approx(getattr(stored, kind), rel=0.01, abs=1e5), kind
    assert counted.elements == pytest.approx(stored.elements, rel=0.1)


@pytest.mark.parametrize(
    ("read", "written", "kernel", "options", "kind"),
    [
        ((8, 8, 16), (8, 8, 32), (1, 1), {}, "pointwise"),
        ((8, 8, 16), (8, 8, 32), (1, 1), {"groups": 4}, "pointwise"),
        ((1, 1, 16), (1, 1, 32), (1, 1), {}, "dense"),
        ((8, 8, 16), (8, 8, 32), (3, 3), {}, "winograd"),
        ((8, 8, 16), (4, 4, 32), (3, 3), {"stride": (2, 2)}, "spatial"),
        ((8, 8, 16), (8, 8, 32), (3, 3), {"dilation": (2, 2)}, "spatial"),
        ((8, 8, 16), (8, 8, 32), (5, 5), {}, "spatial"),
        ((8, 8, 3), (8, 8, 32), (3, 3), {}, "first"),
        ((8, 8, 16), (8, 8, 16), (3, 3), {"groups": 16}, "depthwise"),
        ((40, 16), (40, 32), (3,), {"stride": (1,), "dilation": (1,)}, "spatial"),
        ((4, 4, 16), (8, 8, 32), (3, 3), {"transposed": True}, "spatial"),
    ],
)
def test_a_convolution_is_put_into_the_class_of_its_kernel(
    read: tuple[int, ...], written: tuple[int, ...], kernel: tuple[int, ...], options: dict[str, Any], kind: str
) -> None:
    tally = Tally()
    tally.convolution(read, written, kernel, **options)
    work = tally.work()
    assert getattr(work, kind) == work.macs > 0


def test_every_published_time_is_of_a_network_whose_work_is_known() -> None:
    names = {name for table in load_tables() for run in table.run for name in run.ms}
    assert names <= set(load_networks().network)
