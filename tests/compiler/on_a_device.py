"""What a device would count of a compiled bundle."""

from collections.abc import Iterable

import numpy as np

from compiler.result import Compiled
from edge.bundle import open_bundle
from edge.preprocess import Preprocessor
from edge.quantization import dequantize
from edge.runtimes import open_session, outputs_of
from edge.score import make_scorer
from edge.statistics import count


def counted_on_a_device(compiled: Compiled, indices: Iterable[int]) -> list[int]:
    """Scores of samples of the report part, by the edges of the bundle."""
    return count(scored_on_a_device(compiled, indices), open_bundle(compiled.bundle).manifest.score_edges).tolist()


def scored_on_a_device(compiled: Compiled, indices: Iterable[int]) -> list[np.float32]:
    """Samples of the report part, prepared, run and scored as `edge_agent.loop` does."""
    bundle = open_bundle(compiled.bundle)
    session = open_session(bundle)
    preprocessor = Preprocessor(bundle.manifest.input, session.variant.input)
    score = make_scorer(bundle.manifest, session.variant)
    assert score is not None
    scores = []
    for index in indices:
        preprocessor.into(compiled.report_part.raw(index), session.input_buffer())
        sample = dequantize(session.input_buffer(), session.variant.input) if score.needs_sample else None
        session.invoke()
        scores.append(np.float32(score(outputs_of(session), sample)))
    session.close()
    return scores
