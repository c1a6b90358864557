"""The translations, one file a family of operators; importing this package fills the table."""

from compiler.importer.operators import (
    activation,
    arithmetic,
    comparison,
    convolution,
    indexing,
    join_split,
    matmul,
    normalize,
    ordering,
    pad,
    pooling,
    recurrent,
    reduce,
    resize,
    shape,
)

__all__ = [
    "activation",
    "arithmetic",
    "comparison",
    "convolution",
    "indexing",
    "join_split",
    "matmul",
    "normalize",
    "ordering",
    "pad",
    "pooling",
    "recurrent",
    "reduce",
    "resize",
    "shape",
]
