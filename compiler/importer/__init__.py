"""ONNX -> torch -> TFLite: our own translation of the operators that edge networks use.

`import_onnx` reads a file that `compiler.passes.simplify` has prepared (batch 1, fixed sizes), computes what does not
depend on the input, and returns a torch module for litert-torch. One file a family of operators in `operators/`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from compiler.importer.refusal import Refusal
from edge.errors import BadModelError

if TYPE_CHECKING:
    from compiler.importer.network import OnnxNetwork
    from compiler.importer.table import Operator

__all__ = ["Refusal", "claimed", "import_onnx", "unsupported"]

SHOWN = 3
"""Refusals that an error names; `unsupported` returns all."""


def claimed() -> "Mapping[str, tuple[Operator, ...]]":
    """Return every operator that is translated, with its entry for each change of meaning. Loads torch."""
    from compiler.importer import operators  # noqa: F401  importing it fills the table
    from compiler.importer.table import OPERATORS

    return {kind: tuple(versions) for kind, versions in sorted(OPERATORS.items())}


def import_onnx(content: bytes) -> "OnnxNetwork":
    """Translate an ONNX file into a torch module in eval mode; its parameters are named as in the file.

    Raises: BadModelError naming operator, node, reason, and what to do.
    """
    network, refusals = _build(content)
    if refusals:
        more = f"; and {len(refusals) - SHOWN} more" if len(refusals) > SHOWN else ""
        problem = "cannot become TFLite: " + "; ".join(str(one) for one in refusals[:SHOWN]) + more
        raise BadModelError(problem, remedy=refusals[0].remedy)
    return network


def unsupported(content: bytes) -> tuple[Refusal, ...]:
    """Return every node that cannot be translated; empty if `import_onnx` works.

    Raises: BadModelError if an input has an open size or a type that TFLite lacks.
    """
    return _build(content)[1]


def _build(content: bytes) -> "tuple[OnnxNetwork, tuple[Refusal, ...]]":
    from compiler.importer import operators  # noqa: F401
    from compiler.importer.build import build_network
    from compiler.importer.program import read_program

    return build_network(read_program(content))
