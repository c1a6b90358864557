"""Why an ONNX model cannot become a TFLite file: operator, node, reason, and what to do about it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """One node that the importer cannot translate."""

    operator: str
    node: str
    reason: str
    remedy: str

    def __str__(self) -> str:
        """Say it in one line, without the remedy."""
        return f"{self.operator} (node {self.node}): {self.reason}"


class RefusedError(Exception):
    """Raised by an operator's function; the importer adds the operator and the node."""

    def __init__(self, reason: str, *, remedy: str) -> None:
        super().__init__(reason)
        self.reason, self.remedy = reason, remedy


WHILE_EXPORTING = "export the network so that this value is a constant: fixed sizes, no computation from the input"
"""What to do about a parameter that is known at run time only."""
KNOWN: dict[str, tuple[str, str]] = {
    "NonMaxSuppression": (
        "the number of boxes depends on their values, and TFLite plans all sizes ahead",
        "end the network at boxes and scores, and suppress on the device",
    ),
    **dict.fromkeys(
        ("NonZero", "Unique", "Compress"),
        (
            "the size of its output depends on values, and TFLite plans all sizes ahead",
            "compute a mask of fixed size instead",
        ),
    ),
    **dict.fromkeys(
        ("If", "Loop", "Scan"),
        ("control flow that depends on values", "export with fixed sizes, so that the exporter unrolls it"),
    ),
    **dict.fromkeys(
        ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"),
        ("the model is already quantized", "give the float model: each format is quantized in its own way"),
    ),
    **dict.fromkeys(
        ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial"),
        ("it draws random numbers", "export the network in eval mode"),
    ),
}
"""Operators that are refused for a reason of their own: (reason, remedy)."""


def not_claimed(operator: str) -> RefusedError:
    """Return what to say of an operator without a translation."""
    reason, remedy = KNOWN.get(
        operator,
        (
            "the importer has no translation for this operator",
            "replace this layer with standard operators, or compile for a target that runs onnxruntime",
        ),
    )
    return RefusedError(reason, remedy=remedy)
