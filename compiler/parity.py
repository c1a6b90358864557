"""Exporting must change nothing: the float file computes what the source computes, step by step."""

from itertools import islice

import numpy as np
from numpy.typing import NDArray

from compiler.candidate import Candidate
from compiler.load import SourceModel
from compiler.quantize.calibration import Calibration
from edge.errors import BadModelError

PARITY_SAMPLES = 8
PARITY_RTOL = 1e-4
"""Of the largest output: torch's exporters stay below 6e-6 on eight networks (measured); a wrong axis is off by 1."""


def check_parity(model: SourceModel, candidate: Candidate, calibration: Calibration) -> None:
    """Hold that exporting changed nothing: the float file computes what the source computes.

    Raises: BadModelError with the largest error, as a share of the largest output.
    """
    from edge.runtimes import open_model, outputs_of, run_float

    session = open_model(candidate.data, candidate.variant)
    try:
        for sample in islice(calibration(), PARITY_SAMPLES):
            session.reset()
            for x, answers in zip(sample, model.unroll_all(sample), strict=True):
                run_float(session, x)
                for expected, found in zip(answers, outputs_of(session), strict=False):
                    _hold_equal(expected.ravel(), found.ravel(), candidate)
    finally:
        session.close()


def _hold_equal(expected: NDArray[np.float32], found: NDArray[np.float32], candidate: Candidate) -> None:
    if expected.size != found.size:
        problem = f"an output of {expected.size} numbers has {found.size}"
    else:
        error = float(np.abs(found - expected).max()) / max(float(np.abs(expected).max()), 1e-6)
        if error <= PARITY_RTOL:  # not for NaN
            return
        problem = f"its output is off by {error:.2g} of the largest value, {PARITY_RTOL:g} is allowed"
    raise BadModelError(
        f"export to {candidate.variant.file} changed the model: {problem}",
        remedy="put the network into eval mode and take out what is random; else report this network",
    )
