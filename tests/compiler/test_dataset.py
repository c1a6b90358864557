"""Reading labelled samples, and every way in which they can be wrong."""

import io
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from compiler.arrange import arrange
from compiler.dataset import Samples
from compiler.read_data import open_data
from edge.errors import BadDataError, EdgeError, FileMissingError
from edge.manifest import ImageInput, InputContract, SeriesInput, TensorInput

PICTURE = ImageInput(width=8, height=8, colour="RGB", layout="NHWC")
VECTOR = TensorInput(shape=(1, 3))


def samples(path: Path, contract: InputContract, *, labels: Sequence[str] = (), outputs: int = 2) -> Samples:
    return arrange(open_data(path), contract, labels=labels, outputs=outputs)


def pictures(folder: Path, classes: Sequence[str] = ("go", "stop"), each: int = 3) -> Path:
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for index in range(each):
            cv2.imwrite(str(folder / name / f"{index}.png"), np.full((8, 8, 3), (10 * number, index, 200), np.uint8))
    return folder


def no_arrays() -> bytes:
    """An .npz whose x and y are bytes without a header."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in ("x.npy", "y.npy"):
            archive.writestr(name, b"0123")
    return packed.getvalue()


def unclosed_header() -> bytes:
    """An .npz whose x.npy says its shape in Python that never ends: numpy lets the tokenizer's error out."""
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, ".ljust(117) + b"\n"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    return packed.getvalue()


def npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def csv(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_class_folders_become_classes_in_sorted_order(tmp_path: Path) -> None:
    found = samples(pictures(tmp_path / "d", ("stop", "go")), PICTURE)
    assert found.classes == ("go", "stop")
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.where[3] == "stop/0.png"
    assert found.raw(4)[0, 0].tolist() == [0, 1, 200]  # BGR, as OpenCV delivers


def test_a_labels_file_sets_the_order_of_the_classes(tmp_path: Path) -> None:
    found = samples(pictures(tmp_path / "d"), PICTURE, labels=("stop", "dark", "go"), outputs=3)
    assert found.classes == ("stop", "dark", "go")
    assert found.labels.tolist() == [2, 2, 2, 0, 0, 0]


def test_the_hash_of_the_data_knows_contents_and_labels_but_no_names(tmp_path: Path) -> None:
    first = samples(pictures(tmp_path / "a"), PICTURE)
    again = pictures(tmp_path / "b")
    (again / "go" / "0.png").rename(again / "go" / "renamed.png")
    assert samples(again, PICTURE).sha256 == first.sha256
    (again / "go" / "renamed.png").rename(again / "stop" / "renamed.png")
    assert samples(again, PICTURE).sha256 != first.sha256


def test_arrays_keep_their_numbers(tmp_path: Path) -> None:
    found = samples(npz(tmp_path / "d.npz", x=np.eye(3, dtype=np.float64), y=[0, 1, 1]), VECTOR)
    assert found.classes == ("0", "1")
    assert found.raw(1).dtype == np.float32
    assert found.raw(1).tolist() == [0, 1, 0]


def test_class_numbers_take_their_names_from_the_labels(tmp_path: Path) -> None:
    found = samples(npz(tmp_path / "d.npz", x=np.eye(3), y=[0, 1, 1]), VECTOR, labels=("red", "green"))
    assert found.classes == ("red", "green")
    assert found.labels.tolist() == [0, 1, 1]


def test_uint8_arrays_are_rgb_pictures_where_the_contract_says_picture(tmp_path: Path) -> None:
    x = np.zeros((2, 8, 8, 3), np.uint8)
    x[..., 0] = 255
    found = samples(npz(tmp_path / "d.npz", x=x, y=["a", "b"]), PICTURE)
    assert found.raw(0)[0, 0].tolist() == [0, 0, 255]


def test_a_table_leaves_its_label_column_out(tmp_path: Path) -> None:
    path = csv(tmp_path / "d.csv", "a;kind;b;c\n1;x;2;3\n4;y;5;6\n")
    found = arrange(open_data(path, label_column="kind"), VECTOR, labels=(), outputs=2)
    assert found.raw(1).tolist() == [4, 5, 6]
    assert found.classes == ("x", "y")


def test_a_series_becomes_windows_and_no_row_lies_in_two_blocks(tmp_path: Path) -> None:
    lines = [f"{row},{-row},{'hot' if row >= 60 else 'cold'}" for row in range(100)]
    path = csv(tmp_path / "d.csv", "a,b,label\n" + "\n".join(lines))
    contract = SeriesInput(window=4, stride=2, columns=("b", "a"))
    found = samples(path, contract)
    assert found.raw(0).tolist() == [[0, 0], [-1, 1], [-2, 2], [-3, 3]]
    rows = [set(found.raw(index)[:, 1].tolist()) for index in range(len(found))]
    for one, first in enumerate(rows):
        for other, second in enumerate(rows):
            assert found.digests[one] == found.digests[other] or not first & second
    assert found.labels[-1] == 1
    assert len(set(found.digests)) == 3  # blocks of 40 rows


def test_pictures_are_decoded_only_when_asked_for(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "d")
    (folder / "stop" / "2.png").write_bytes(b"no picture")
    found = samples(folder, PICTURE)
    with pytest.raises(BadDataError, match=r"2\.png"):
        found.raw(5)


BAD: dict[str, tuple[Any, InputContract, str]] = {
    "nan": ({"x": [[1, 2, np.nan], [1, 2, 3]], "y": [0, 1]}, VECTOR, "sample 0 holds NaN"),
    "infinity": ({"x": [[1, 2, 3], [1, 2, np.inf]], "y": [0, 1]}, VECTOR, "sample 1 holds NaN or infinity"),
    "one class": ({"x": np.eye(3), "y": [1, 1, 1]}, VECTOR, "one class, '1'"),
    "out of range": ({"x": np.eye(3), "y": [0, 1, 7]}, VECTOR, r"sample 2 has the label '7', which is not in 0\.\.1"),
    "no y": ({"x": np.eye(3)}, VECTOR, "holds x, but x and y are needed"),
    "empty": ({"x": np.zeros((0, 3)), "y": []}, VECTOR, "holds no samples"),
    "lengths": ({"x": np.eye(3), "y": [0, 1]}, VECTOR, r"y has the shape \(2,\), x \(3, 3\)"),
    "text": ({"x": [["a"], ["b"]], "y": [0, 1]}, VECTOR, "x has the type"),
    "fractions": ({"x": np.eye(3), "y": [0, 0.5, 1]}, VECTOR, "y has the type float64"),
    "too many classes": ({"x": np.eye(3), "y": ["a", "b", "c"]}, VECTOR, "3 classes .* gives 2 scores"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arrays_are_refused_in_one_line(tmp_path: Path, case: str) -> None:
    arrays, contract, problem = BAD[case]
    with pytest.raises(BadDataError, match=problem) as caught:
        samples(npz(tmp_path / "d.npz", **arrays), contract)
    assert "\n" not in caught.value.problem
    assert caught.value.remedy


TABLES = {
    "no label column": ("a,lable\n1,x\n", r"no column 'label' \(nearest: 'lable'\)"),
    "text in a cell": ("a,label\n1,x\nhigh,y\n", "line 3, column 'a': 'high' is not a number"),
    "ragged": ("a,label\n1,x\n1,2,y\n", "line 3 has 3 cells, the header 2"),
    "nan": ("a,label\n1,x\nnan,y\n", "line 3 holds NaN"),
    "header only": ("a,label\n", "holds no samples"),
}


@pytest.mark.parametrize("case", TABLES)
def test_bad_tables_are_refused_in_one_line(tmp_path: Path, case: str) -> None:
    text, problem = TABLES[case]
    with pytest.raises(BadDataError, match=problem):
        open_data(csv(tmp_path / "d.csv", text))


def test_a_named_label_that_is_no_class_gets_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(BadDataError, match="nearest: 'stop'"):
        samples(pictures(tmp_path / "d", ("go", "stopp")), PICTURE, labels=("go", "stop"))


def test_an_empty_class_folder_is_named(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "d")
    (folder / "amber").mkdir()
    with pytest.raises(BadDataError, match=r"'amber' in .* holds no pictures"):
        open_data(folder)


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("missing.npz", None, FileMissingError),
        ("broken.npz", b"PK\x03\x04 and no more", BadDataError),
        ("empty.npz", b"", BadDataError),
        ("unclosed.npz", unclosed_header(), BadDataError),
        ("bytes.npz", no_arrays(), BadDataError),
        ("broken.csv", b"\xff\xfe\x00label", BadDataError),
        ("picture.png", b"x", BadDataError),
    ],
)
def test_what_is_no_data_is_said_to_be_none(
    tmp_path: Path, name: str, content: bytes | None, error: type[EdgeError]
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=name):
        open_data(tmp_path / name)


def test_a_picture_that_claims_to_be_larger_than_any_is_named(tmp_path: Path) -> None:
    pictures = tmp_path / "d"
    for label in ("a", "b"):
        (pictures / label).mkdir(parents=True)
        (pictures / label / "1.bmp").write_bytes(bmp(4, 4))
    data = open_data(pictures)
    (pictures / "b" / "1.bmp").write_bytes(bmp(4, 1 << 24))  # OpenCV raises, where others come back as nothing
    with pytest.raises(BadDataError, match=r"b/1\.bmp"):
        data.read(1)


def bmp(width: int, height: int) -> bytes:
    """A picture of black pixels, 4 rows of which are there."""
    pixels = bytes(4 * ((width * 3 + 3) // 4 * 4))
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, len(pixels), 0, 0, 0, 0)
    return struct.pack("<2sIHHI", b"BM", 54 + len(pixels), 0, 0, 54) + header + pixels


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    path = npz(tmp_path / "d.npz", x=np.array([{"a": 1}, None], object), y=[0, 1])
    with pytest.raises(BadDataError, match="not a readable"):
        open_data(path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadDataError, match="no class folders"):
        open_data(tmp_path)
