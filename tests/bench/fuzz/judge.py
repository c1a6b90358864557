"""Whether a compile ended as it must: a known exit code, no traceback, and no claim that was not measured."""

import json
import sys
from pathlib import Path

import numpy as np

KNOWN = frozenset({0, *range(1, 23)})
"""Exit codes of `edge.errors`; 70 would be a bug, a negative one a crash."""


def fault_of(code: int, said: str, bundle: Path) -> str:
    """Name what must not be; empty if nothing is. A bundle that was written is for `unmeasured_claim`."""
    if code not in KNOWN:
        return f"ended with {code}"
    if "Traceback (most recent call last)" in said:
        return "printed a traceback"
    if code == 0 and not bundle.exists():
        return "said that it wrote a bundle, and there is none"
    return "a bundle was left behind" if code and bundle.exists() else ""


def check_claims(bundle: Path, printed: Path, data: Path) -> int:
    """Say on stderr what the bundle claims and nobody measured; returns 1 if there is something, else 0."""
    claim = unmeasured_claim(bundle, printed, data)
    sys.stderr.write(claim)
    return int(bool(claim))


def unmeasured_claim(path: Path, printed: Path, data: Path) -> str:
    """Measure what the bundle says of its first variant anew, and hold the two against each other and what was printed.

    Args:
        path: the bundle.
        printed: what `edge compile --json` printed.
        data: the samples that it was compiled with; of these the report part is run.

    """
    from edge.bundle import open_bundle
    from edge.runtimes import check_golden, open_session

    bundle = open_bundle(path)
    told, quality = json.loads(printed.read_text("utf-8"))["quality"], bundle.manifest.quality
    if (quality.compiled, quality.reference, quality.samples) != (told["compiled"], told["float"], told["samples"]):
        return "manifest and output disagree"
    if not (quality.samples > 0 and np.isfinite([quality.compiled, quality.reference, quality.drop]).all()):
        return "claims what cannot have been measured"
    session = open_session(bundle)
    try:
        check_golden(bundle, session, invocations=1)
        right, samples = _measure(bundle, session, data)
    finally:
        session.close()
    if (right, samples) != (quality.compiled, quality.samples):
        return f"claims {quality.compiled:.4f} on {quality.samples} samples; {right:.4f} on {samples} were measured"
    return ""


def _measure(bundle, session, data: Path) -> tuple[float, int]:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Accuracy on the report part, counted here."""
    from compiler.arrange import arrange
    from compiler.read_data import open_data
    from compiler.run import run_session
    from compiler.split import split

    manifest = bundle.manifest
    found = open_data(data, label_column="label", task="classify")
    every = arrange(found, manifest.input, labels=manifest.labels, outputs=len(manifest.labels))
    part = every.part(split(every.digests).report)
    run = run_session(session, manifest.input, part, "classify", lambda _steps=1: None)
    return float(np.mean(run.outputs.argmax(axis=1) == part.labels)), len(part)
