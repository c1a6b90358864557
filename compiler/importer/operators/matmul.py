"""Products of matrices: Gemm, MatMul, Einsum."""

import torch
from torch import Tensor
from torch.nn import functional

from compiler.importer.node import Node
from compiler.importer.table import operator


@operator("MatMul")
def matmul(node: Node) -> Tensor:
    """As numpy.matmul."""
    return torch.matmul(node.tensor(0), node.tensor(1))


@operator("Gemm")
def gemm(node: Node) -> Tensor:
    """Return alpha * A @ B + beta * C, A and B transposed on demand.

    A dense layer (B transposed or not, C one-dimensional) stays one operator.
    """
    a, b, c = node.tensor(0), node.tensor(1), node.optional(2)
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    a = a.t() if node.flag("transA") else a
    plain = alpha == 1 and (c is None or (beta == 1 and c.shape == (b.shape[0 if node.flag("transB") else 1],)))
    if plain:
        return functional.linear(a, b if node.flag("transB") else b.t(), c)
    product = torch.matmul(a, b.t() if node.flag("transB") else b)
    product = product if alpha == 1 else alpha * product
    return product if c is None else product + (c if beta == 1 else beta * c)


@operator("Einsum", since=12)
def einsum(node: Node) -> Tensor:
    """Sums of products, as numpy.einsum."""
    return torch.einsum(node.text("equation", ""), *node.tensors())
