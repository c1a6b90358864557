"""What is in a bundle and what made it, as a CycloneDX 1.6 bill of materials: `sbom.cdx.json` in the report folder.

The bundle is a machine-learning-model; its files are components with their hashes; the tools of `provenance` are the
libraries that it was made with. The same bundle gives the same bytes: the serial number is made of its hash.
"""

import uuid
from datetime import UTC, datetime
from typing import Any

from edge import __version__
from edge.manifest import Manifest

_NAMESPACE = uuid.UUID("3f0c6c7e-5a4b-5a2d-9d0a-0e5d3c1f7b60")
"""Of our serial numbers; any fixed UUID. Source: RFC 9562, section 5.5 (UUIDv5)."""
_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
"""Stands where the format wants a time: a time of its own would make two equal bundles differ."""


def make_sbom(manifest: Manifest, bundle_sha256: str) -> str:
    """Return the document for a bundle whose file hashes to `bundle_sha256`."""
    from cyclonedx.model.bom import Bom
    from cyclonedx.output.json import JsonV1Dot6

    model = _model(manifest, bundle_sha256)
    files = [_file(variant.file, variant.sha256) for variant in manifest.variants]
    tools = [_library(name, version) for name, version in sorted(manifest.provenance.tools.items())]
    bom = Bom(serial_number=uuid.uuid5(_NAMESPACE, bundle_sha256), components=[*files, *tools])
    bom.metadata.component, bom.metadata.timestamp = model, _EPOCH
    bom.metadata.tools.components.add(_library("edgewright", __version__, place="tool-"))
    bom.register_dependency(model, [*files, *tools])
    return str(JsonV1Dot6(bom).output_as_string(indent=1)) + "\n"


def _model(manifest: Manifest, sha256: str) -> Any:  # noqa: ANN401  the library's Component is loaded on demand
    from cyclonedx.model import Property
    from cyclonedx.model.component import Component, ComponentType

    provenance = manifest.provenance
    facts = {
        "target": manifest.target,
        "source-sha256": provenance.source_sha256,
        "data-sha256": provenance.data_sha256,
    }
    facts |= {f"recipe:{name}": value for name, value in provenance.recipe.items()}
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=manifest.name,
        version=str(manifest.version),
        bom_ref=f"model-{manifest.name}-{manifest.version}",
        hashes=[_hash(sha256)],
        properties=[Property(name=f"edgewright:{name}", value=value) for name, value in facts.items()],
    )


def _file(name: str, sha256: str) -> Any:  # noqa: ANN401
    from cyclonedx.model.component import Component, ComponentType

    return Component(type=ComponentType.FILE, name=name, bom_ref=f"file-{name}", hashes=[_hash(sha256)])


def _library(name: str, version: str, place: str = "") -> Any:  # noqa: ANN401
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    return Component(
        type=ComponentType.LIBRARY,
        name=name,
        version=version,
        bom_ref=f"{place}{name}-{version}",
        purl=PackageURL("pypi", name=name, version=version),
    )


def _hash(sha256: str) -> Any:  # noqa: ANN401
    from cyclonedx.model import HashAlgorithm, HashType

    return HashType(alg=HashAlgorithm.SHA_256, content=sha256)
