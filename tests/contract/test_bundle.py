"""A bundle is one deterministic file; whatever bytes it holds, opening it ends in a bundle or in one known error."""

import io
import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge import archive
from edge.bundle import LIMITS, Bundle, describe, open_bundle
from edge.errors import BadBundleError, FileMissingError
from edge.manifest import Head, Manifest, StateSpec, TensorSpec, Variant

MakeBundle = Callable[..., Path]


def test_equal_contents_are_equal_bytes(make_bundle: MakeBundle) -> None:
    first, second = make_bundle("a-1.edge", "litert", "onnxruntime"), make_bundle("b-1.edge", "litert", "onnxruntime")
    assert first.read_bytes() == second.read_bytes()


def test_a_bundle_is_a_plain_zip_with_fixed_dates_in_sorted_order(make_bundle: MakeBundle) -> None:
    with zipfile.ZipFile(make_bundle()) as archived:
        infos = archived.infolist()
        assert archived.testzip() is None
        with np.load(io.BytesIO(archived.read("golden.npz"))) as golden:
            assert golden["input"].shape == (3, 2)
    assert [i.filename for i in infos] == ["baseline.npz", "golden.npz", "manifest.json", "model-litert.tflite"]
    assert {i.date_time for i in infos} == {(1980, 1, 1, 0, 0, 0)}
    assert {i.compress_type for i in infos} == {zipfile.ZIP_STORED}


def test_what_was_packed_is_what_is_opened(make_bundle: MakeBundle) -> None:
    bundle = open_bundle(make_bundle())
    assert bundle.manifest.name == "tiny"
    assert bundle.golden.outputs.tolist() == [[1, 0], [0, 3], [0.5, 0.25]]
    assert bundle.baseline.scores.sum() == 2
    assert len(bundle.read("model-litert.tflite")) == bundle.manifest.variants[0].size_bytes
    assert "tiny version 1, for x86-64" in describe(bundle.manifest)


def test_a_model_changed_after_opening_is_not_read(make_bundle: MakeBundle) -> None:
    path = make_bundle()
    bundle = open_bundle(path)
    data = bytearray(path.read_bytes())
    member = bundle._members["model-litert.tflite"]
    data[member.offset + 60] ^= 1
    path.write_bytes(data)
    with pytest.raises(BadBundleError, match="damaged"):
        bundle.read("model-litert.tflite")


def test_a_failed_pack_leaves_neither_a_bundle_nor_a_temporary_file(make_bundle: MakeBundle, tmp_path: Path) -> None:
    with pytest.raises(BadBundleError, match="3 labels for 2 outputs"):
        make_bundle("x-1.edge", labels=("a", "b", "c"))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_and_a_folder_have_their_own_words(tmp_path: Path) -> None:
    with pytest.raises(FileMissingError):
        open_bundle(tmp_path / "none-1.edge")
    with pytest.raises(BadBundleError, match="not a file"):
        open_bundle(tmp_path)


def members_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archived:
        return {name: archived.read(name) for name in archived.namelist()}


def refused(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(BadBundleError) as caught:
        open_bundle(path)
    assert "\n" not in caught.value.problem
    return caught.value.problem


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../b", "..", "a\\b", "", "a\0b", "x" * 200, "é"])
def test_a_forbidden_name_is_refused(make_bundle: MakeBundle, tmp_path: Path, name: str) -> None:
    members = members_of(make_bundle())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archived:
        for each, data in sorted({**members, name or "empty": b"x"}.items()):
            archived.writestr(zipfile.ZipInfo(each), data)
    refused(tmp_path / "evil.edge", buffer.getvalue())
    assert not (tmp_path.parent / "evil").exists()


def test_names_of_the_right_form_are_refused_by_name(make_bundle: MakeBundle, tmp_path: Path) -> None:
    members = members_of(make_bundle())
    evil = archive.write({**members, "zz.py": b"print()"})
    assert "not those of the manifest" in refused(tmp_path / "evil.edge", evil)
    traversal = archive.write({**members, "zz____evil": b"x"}).replace(b"zz____evil", b"../../evil")
    assert "forbidden name" in refused(tmp_path / "evil.edge", traversal)


def test_a_variant_may_not_name_a_path_or_another_member(make_bundle: MakeBundle, tmp_path: Path) -> None:
    members = members_of(make_bundle())
    for name in ("../../model", "manifest.json", "golden.npz"):
        manifest = members["manifest.json"].replace(b"model-litert.tflite", name.encode())
        refused(tmp_path / "evil.edge", archive.write({**members, "manifest.json": manifest}))


def test_sizes_are_refused_before_anything_is_read(make_bundle: MakeBundle, tmp_path: Path) -> None:
    members = members_of(make_bundle())
    big = archive.write({**members, "manifest.json": b"{" + b" " * LIMITS.manifest_bytes + b"}"})
    assert "more than 262144" in refused(tmp_path / "evil.edge", big)
    assert "9 members" in refused(
        tmp_path / "evil.edge", archive.write({**members, **{f"m{i}": b"" for i in range(5)}})
    )
    with (tmp_path / "sparse.edge").open("wb") as file:
        file.truncate(LIMITS.bundle_bytes + 1)
    with pytest.raises(BadBundleError, match="more than 268435456"):
        open_bundle(tmp_path / "sparse.edge")


def test_golden_samples_beyond_their_limit_are_refused_before_they_are_read(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    giant = bytes(LIMITS.golden_bytes + 1)
    data = bytearray(archive.write({**members_of(make_bundle()), "golden.npz": giant}))
    data[data.find(giant) + 99] = 1  # reading it would find it damaged
    assert "golden.npz has 33554433 bytes, more than 33554432" in refused(tmp_path / "evil.edge", bytes(data))


def test_a_compressed_bomb_is_refused_without_unpacking(make_bundle: MakeBundle, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archived:
        for name, data in sorted({**members_of(make_bundle()), "model-litert.tflite": bytes(50_000_000)}.items()):
            archived.writestr(name, data)
    assert "compressed, encrypted or dated" in refused(tmp_path / "evil.edge", buffer.getvalue())


@pytest.mark.parametrize(
    "array",
    [
        np.array([{"code": 1}], dtype=object),
        np.array([[np.nan, 1], [0, 0], [0, 0]], np.float32),
        np.array([[np.inf, 1], [0, 0], [0, 0]], np.float32),
        np.zeros((3, 3), np.float32),
        np.zeros((17, 2), np.float32),
        np.zeros((0, 2), np.float32),
        np.float32(3),
        np.zeros((3, 2), np.float64),
        np.asfortranarray(np.ones((3, 2), np.float32)),
        np.zeros(3, dtype=[("a", "<f4")]),
    ],
)
def test_golden_arrays_that_are_not_plain_and_fitting_are_refused(
    make_bundle: MakeBundle, tmp_path: Path, array: np.ndarray
) -> None:
    members, arrays = members_of(make_bundle()), {}
    for name, value in (("input.npy", array), ("outputs.npy", np.zeros((3, 2), np.float32))):
        buffer = io.BytesIO()
        np.save(buffer, value, allow_pickle=True)
        arrays[name] = buffer.getvalue()
    refused(tmp_path / "evil.edge", archive.write({**members, "golden.npz": archive.write(arrays)}))


def test_an_array_that_claims_a_giant_shape_is_refused(make_bundle: MakeBundle, tmp_path: Path) -> None:
    members = members_of(make_bundle())
    golden = members_of_bytes(members["golden.npz"])
    for shape in (b"(999999999, 999999999)", b"(3, 2)+(1,)*9**9"):
        header = golden["input.npy"].replace(b"(3, 2)", shape)[:128]
        assert len(header) == 128
        evil = archive.write({**golden, "input.npy": header + golden["input.npy"][128:]})
        refused(tmp_path / "evil.edge", archive.write({**members, "golden.npz": evil}))


def members_of_bytes(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archived:
        return {name: archived.read(name) for name in archived.namelist()}


MANIFEST_CHANGES: dict[str, object] = {
    "format": 2,
    "version": 0,
    "name": "../x",
    "variants": [],
    "labels": ["a", ""],
    "unknown": 1,
    "input": {"kind": "image", "width": 10, "height": 10, "colour": "RGB", "layout": "NHWC"},
    "golden": {"atol": -1.0, "rtol": 0.0},
    "target": 7,
}


@pytest.mark.parametrize("key", MANIFEST_CHANGES)
def test_a_manifest_that_breaks_a_rule_is_refused(make_bundle: MakeBundle, tmp_path: Path, key: str) -> None:
    members = members_of(make_bundle())
    manifest = msgspec.json.decode(members["manifest.json"])
    changed = msgspec.json.encode({**manifest, key: MANIFEST_CHANGES[key]})
    refused(tmp_path / "evil.edge", archive.write({**members, "manifest.json": changed}))


@pytest.mark.parametrize("digest", ["a" * 64 + "\n", "a" * 63, "A" * 64, "", "a" * 64 + "\r\n"])
def test_a_hash_that_is_not_64_hex_digits_is_refused(make_bundle: MakeBundle, tmp_path: Path, digest: str) -> None:
    members = members_of(make_bundle())
    manifest = msgspec.json.decode(members["manifest.json"])
    for place in (manifest["variants"][0], manifest["provenance"]):
        key = "sha256" if "sha256" in place else "source_sha256"
        good, place[key] = place[key], digest
        evil = archive.write({**members, "manifest.json": msgspec.json.encode(manifest)})
        assert "regex" in refused(tmp_path / "evil.edge", evil)
        place[key] = good


@pytest.mark.parametrize(
    "change",
    [
        {"dtype": "int8"},
        {"dtype": "int8", "scale": 0.0, "zero_point": 0},
        {"dtype": "int8", "scale": 1.0, "zero_point": 200},
        {"scale": 1.0},
        {"shape": [1] * 9},
        {"shape": [16384] * 5},
        {"shape": []},
        {"shape": [1] * 50_000},
    ],
)
def test_a_tensor_that_cannot_be_is_refused(make_bundle: MakeBundle, tmp_path: Path, change: dict[str, object]) -> None:
    members = members_of(make_bundle())
    manifest = msgspec.json.decode(members["manifest.json"])
    manifest["variants"][0]["outputs"][0] |= change
    refused(tmp_path / "e.edge", archive.write({**members, "manifest.json": msgspec.json.encode(manifest)}))


def test_400_mutated_bundles_end_in_a_bundle_or_in_one_known_error(make_bundle: MakeBundle, tmp_path: Path) -> None:
    good, rng, opened = make_bundle().read_bytes(), random.Random(1), 0
    path = tmp_path / "mutated.edge"
    before = set(tmp_path.parent.iterdir())
    for number in range(400):
        data = bytearray(good)
        match number % 4:
            case 0:
                del data[rng.randrange(len(data)) :]
            case 1:
                for _ in range(rng.randint(1, 4)):
                    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            case 2:  # giant or negative numbers where sizes and offsets are
                at = rng.choice([data.rfind(b"PK\5\6"), data.rfind(b"PK\1\2"), data.find(b"PK\3\4")]) + rng.randrange(
                    44
                )
                data[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f"])
            case 3:
                at, length = rng.randrange(len(data)), rng.randint(1, 300)
                data[at : at + length] = rng.randbytes(rng.randint(0, 300))
        path.write_bytes(data)
        try:
            open_bundle(path)
            opened += data != good
        except BadBundleError:
            pass
    assert opened == 0, "every byte of a bundle is checked"
    assert set(tmp_path.parent.iterdir()) == before


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=400), tail=st.booleans())
def test_any_bytes_end_in_one_known_error(tmp_path: Path, data: bytes, tail: bool) -> None:
    end = b"PK\5\6" + bytes(4) + b"\1\0\1\0" + b"\x40\0\0\0" + len(data).to_bytes(4, "little") + bytes(2)
    refused(tmp_path / "any.edge", data + end if tail else data)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_json_as_manifest_ends_in_one_known_error(
    make_bundle: MakeBundle, tmp_path: Path, data: st.DataObject
) -> None:
    members = members_of(make_bundle())
    manifest = msgspec.json.decode(members["manifest.json"])
    json = st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
        max_leaves=8,
    )
    key = data.draw(st.sampled_from(sorted(manifest)))
    changed = {**manifest, key: data.draw(json)}
    path = tmp_path / "any.edge"
    path.write_bytes(archive.write({**members, "manifest.json": msgspec.json.encode(changed)}))
    try:
        opened = open_bundle(path)
    except BadBundleError:
        return
    assert isinstance(opened, Bundle)
    assert describe(opened.manifest)


def test_a_manifest_of_a_release_that_knew_only_classifiers_still_opens(make_bundle: MakeBundle) -> None:
    new = json.loads(msgspec.json.encode(open_bundle(make_bundle()).manifest))
    assert "head" not in new  # so that a release that knows no detectors still opens what is none
    for field in ("task", "score_edges"):
        del new[field]
    for field in ("upper95", "verdict"):
        del new["quality"][field]
    old = msgspec.json.decode(json.dumps(new), type=Manifest)
    assert (old.task, old.score_edges, old.quality.upper95, old.quality.verdict) == ("classify", (), None, None)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"score_edges": (0.5,)}, "1 score edges, 0 belong to the task classify"),
        ({"task": "anomaly", "labels": ()}, "0 score edges, 17 belong to the task anomaly"),
        ({"task": "anomaly", "labels": (), "score_edges": (1.0,) * 17}, "do not ascend"),
        (
            {"task": "detect", "score_edges": tuple(map(float, range(17)))},
            "head and the task detect do not go together",
        ),
        ({"head": Head(format="yolo")}, "head and the task classify do not go together"),
        (
            {"task": "detect", "head": Head(format="yolo"), "score_edges": tuple(map(float, range(17)))},
            r"is not yolo of 2 labels",
        ),
        ({"task": "regress", "score_edges": tuple(map(float, range(17)))}, "labels, which the task regress has not"),
        ({"task": "regress", "labels": (), "score_edges": tuple(map(float, range(17)))}, "counts 2 labels, not 0"),
    ],
)
def test_edges_and_labels_belong_to_the_task(make_bundle: MakeBundle, changes: dict[str, object], problem: str) -> None:
    with pytest.raises(BadBundleError, match=problem):
        make_bundle(**changes)


def test_a_bundle_without_a_state_is_written_as_older_releases_read_it(make_bundle: MakeBundle) -> None:
    bundle = open_bundle(make_bundle())
    written = json.loads(msgspec.json.encode(bundle.manifest))
    assert written["format"] == 1
    assert "state" not in written["variants"][0]
    assert not bundle.manifest.stateful


def with_state(variant: Variant, **changes: object) -> Variant:
    """The tiny model's variant, which would take its own output back in."""
    state = StateSpec(input=variant.input, output=variant.outputs[0])
    return msgspec.structs.replace(variant, state=(msgspec.structs.replace(state, **changes),))


def test_a_state_needs_its_own_format_and_keeps_its_shape(make_bundle: MakeBundle) -> None:
    (variant,) = open_bundle(make_bundle()).manifest.variants
    with pytest.raises(BadBundleError, match="format 1, where its variants need 2"):
        make_bundle("a-1.edge", variants=(with_state(variant),))
    with pytest.raises(BadBundleError, match="format 2, where its variants need 1"):
        make_bundle("b-1.edge", format=2)
    wide = TensorSpec(name="wide", shape=(1, 3), dtype="float32")
    with pytest.raises(BadBundleError, match="changes its shape"):
        make_bundle("c-1.edge", format=2, variants=(with_state(variant, output=wide),))
    stateful = open_bundle(make_bundle("d-1.edge", format=2, variants=(with_state(variant),)))
    assert stateful.manifest.stateful
    assert "state     x of 1 x 2; zero at first" in describe(stateful.manifest)


def test_a_bundle_of_a_later_release_says_that_this_one_is_too_old(make_bundle: MakeBundle) -> None:
    path = make_bundle()
    members = members_of(path)
    members["manifest.json"] = members["manifest.json"].replace(b'"format": 1', b'"format": 3')
    path.write_bytes(archive.write(members))
    with pytest.raises(BadBundleError, match="has format 3, and this release reads up to 2") as caught:
        open_bundle(path)
    assert "install a newer edgewright" in caught.value.remedy
