"""`edge inspect`."""

from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from edge import console
from edge.manifest import Manifest


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """What `edge inspect --json` prints."""

    bundle: str
    sha256: str
    size_bytes: int
    golden_samples: int
    baseline_samples: int
    manifest: Manifest


def inspect_command(bundle: Path, /, *, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Say what a bundle holds, after checking all of it.

    Sizes, names, hashes, the manifest, golden samples and the baseline are validated; the model is not run.

    Parameters
    ----------
    bundle
        The .edge file.
    json
        Print one JSON object.
    """
    from edge.bundle import describe, open_bundle

    opened = open_bundle(bundle)
    found = Inspection(
        bundle=str(bundle),
        sha256=opened.sha256,
        size_bytes=opened.size_bytes,
        golden_samples=len(opened.golden.input),
        baseline_samples=int(opened.baseline.scores.sum()),
        manifest=opened.manifest,
    )
    console.emit(found, json, lambda: f"{describe(opened.manifest)}\n{_file(found)}")


def _file(found: Inspection) -> str:
    made_with = ", ".join(f"{name} {version}" for name, version in sorted(found.manifest.provenance.tools.items()))
    return "\n".join(
        [
            f"  proof     {found.golden_samples} golden samples, "
            f"baseline of {found.baseline_samples:,} samples, all hashes right",
            f"  made of   source {found.manifest.provenance.source_sha256[:12]}, "
            f"data {found.manifest.provenance.data_sha256[:12]}{f', with {made_with}' if made_with else ''}",
            f"  file      {found.size_bytes / 1000:,.1f} kB, sha256 {found.sha256}",
        ]
    )
