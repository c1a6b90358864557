"""The bill of materials: valid by the standard's own schema, complete, and the same for the same bundle."""

import json

from compiler.report.sbom import make_sbom
from edge.manifest import Manifest, Provenance, Quality, TensorInput, TensorSpec, Tolerance, Variant

SPEC = TensorSpec(name="x", shape=(1, 4), dtype="float32")
MANIFEST = Manifest(
    name="tiny",
    version=3,
    target="raspberrypi4",
    labels=("a", "b"),
    input=TensorInput(shape=(1, 4)),
    variants=(
        Variant(
            runtime="litert",
            dtype="float32",
            file="model-float32.tflite",
            sha256="a" * 64,
            size_bytes=10,
            input=SPEC,
            outputs=(SPEC,),
        ),
    ),
    quality=Quality(metric="accuracy", reference=0.9, compiled=0.9, drop=0, ci95=(0, 0), agreement=1, samples=300),
    latency=(),
    golden=Tolerance(atol=0, rtol=0),
    provenance=Provenance(
        source_sha256="b" * 64, data_sha256="c" * 64, tools={"numpy": "2.4.1"}, recipe={"max_drop": "0.01"}
    ),
)


def test_it_is_valid_by_the_standards_own_strict_schema() -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(make_sbom(MANIFEST, "d" * 64)) is None


def test_the_same_bundle_gives_the_same_bytes_and_another_one_another_serial_number() -> None:
    first, other = make_sbom(MANIFEST, "d" * 64), make_sbom(MANIFEST, "e" * 64)
    assert make_sbom(MANIFEST, "d" * 64) == first
    assert json.loads(first)["serialNumber"] != json.loads(other)["serialNumber"]


def test_it_names_the_model_each_of_its_files_and_each_tool() -> None:
    found = json.loads(make_sbom(MANIFEST, "d" * 64))
    model = found["metadata"]["component"]
    assert (model["type"], model["name"], model["version"]) == ("machine-learning-model", "tiny", "3")
    assert model["hashes"] == [{"alg": "SHA-256", "content": "d" * 64}]
    assert {one["name"]: one["type"] for one in found["components"]} == {
        "model-float32.tflite": "file",
        "numpy": "library",
    }
    assert {"name": "edgewright:source-sha256", "value": "b" * 64} in model["properties"]
