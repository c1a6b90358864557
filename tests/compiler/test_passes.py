import onnx
import onnx_ir as ir
from onnx import TensorProto, helper

from compiler.passes import OPSET, simplify
from compiler.passes.fix_batch import FixBatch
from compiler.passes.name_nodes import NameNodes
from compiler.passes.strip_provenance import StripProvenance

SECRET = "/home/ada/secret/net.py"


def proto() -> onnx.ModelProto:
    """y = relu(reshape(x, shape(x))) with an open batch and a path wherever ONNX has room for one."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"], f"a {SECRET}", doc_string=SECRET),
        helper.make_node("Reshape", ["x", "s"], ["r"], "twice"),
        helper.make_node("Relu", ["r"], ["y"], "twice"),
    ]
    for node in nodes:
        node.metadata_props.add(key="pkg.torch.onnx.stack_trace", value=f'File "{SECRET}", line 7')
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4], doc_string=SECRET)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])
    graph = helper.make_graph(nodes, SECRET, [x], [y], doc_string=SECRET)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, doc_string=SECRET, producer_name=SECRET
    )
    model.metadata_props.add(key="where", value=SECRET)
    return model


def test_an_open_batch_becomes_one() -> None:
    model = ir.from_proto(proto())
    assert FixBatch()(model).modified
    assert list(model.graph.inputs[0].shape or []) == [1, 4]
    assert not FixBatch()(model).modified


def test_no_path_of_the_exporting_machine_stays() -> None:
    model = ir.from_proto(proto())
    NameNodes()(StripProvenance()(model).model)
    assert SECRET.encode() not in ir.to_proto(model).SerializeToString()


def test_nodes_are_named_by_kind_and_order() -> None:
    model = ir.from_proto(proto())
    assert NameNodes()(model).modified
    assert [node.name for node in model.graph] == ["Shape_0", "Reshape_0", "Relu_0"]
    assert not NameNodes()(model).modified


def test_simplifying_folds_shapes_raises_the_opset_and_is_stable() -> None:
    once = simplify(proto().SerializeToString())
    model = onnx.load_model_from_string(once)
    assert [node.op_type for node in model.graph.node] == ["Relu"]
    assert model.opset_import[0].version == OPSET
    assert [dim.dim_value for dim in model.graph.output[0].type.tensor_type.shape.dim] == [1, 4]
    assert SECRET.encode() not in once
    assert simplify(once) == once
