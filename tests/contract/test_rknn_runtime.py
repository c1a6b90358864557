"""The session for Rockchip's NPU, on a stand-in for rknnlite: that library exists for aarch64 boards only."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from edge.bundle import open_bundle
from edge.errors import BadModelError, MissingExtraError
from edge.manifest import StateSpec, TensorSpec, Variant
from edge.runtimes import open_session, probe, rknn
from edge.runtimes.rknn import RknnSession

MakeBundle = Callable[..., Path]
FILE = b"RKNN and the rest"


class Lite:
    """Adds one to what it is given, as channels-first pictures; keeps what it was told."""

    status = 0
    answers = 1

    def load_rknn(self, path: str) -> int:
        self.content = Path(path).read_bytes()
        return 0

    def init_runtime(self) -> int:
        return self.status

    def inference(self, inputs: list[np.ndarray], data_format: list[str] | None) -> list[np.ndarray] | None:
        assert data_format == ["nchw"]
        return [inputs[0].sum(axis=(2, 3)) + 1] * self.answers or None

    def release(self) -> None:
        self.released = True


@pytest.fixture
def lite(monkeypatch: pytest.MonkeyPatch) -> type[Lite]:
    made = type("RKNNLite", (Lite,), {})
    monkeypatch.setitem(sys.modules, "rknnlite", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "rknnlite.api", SimpleNamespace(RKNNLite=made))
    return made


def variant() -> Variant:
    spec = TensorSpec(name="x", shape=(1, 3, 2, 2), dtype="float32")
    out = TensorSpec(name="y", shape=(1, 3), dtype="float32")
    return Variant(
        runtime="rknn", dtype="int8", file="m.rknn", sha256="0" * 64, size_bytes=9, input=spec, outputs=(out,)
    )


def test_pictures_go_in_channels_first_and_numbers_come_out_in_the_models_shape(lite: type[Lite]) -> None:
    session = RknnSession(FILE, variant())
    for start in (0, 5):
        session.set_input(np.full((3, 2, 2), start, np.float32))
        session.invoke()
        assert session.output().tolist() == [[4 * start + 1] * 3]
    session.close()
    session.close()


@pytest.mark.parametrize("wrong", ["status", "answers"])
def test_an_npu_that_does_not_start_or_answer_is_a_known_error(lite: type[Lite], wrong: str) -> None:
    setattr(lite, wrong, {"status": -1, "answers": 0}[wrong])
    with pytest.raises(BadModelError, match=r"m\.rknn: (init_runtime failed|the NPU gave no answer)"):
        RknnSession(FILE, variant()).invoke()


def test_other_bytes_and_integer_ends_are_refused(lite: type[Lite]) -> None:
    with pytest.raises(BadModelError, match=r"m\.rknn is not an \.rknn file"):
        RknnSession(b"junk", variant())
    integer = TensorSpec(name="x", shape=(1, 3, 2, 2), dtype="int8", scale=0.1, zero_point=0)
    with pytest.raises(BadModelError):
        RknnSession(FILE, msgspec.structs.replace(variant(), input=integer))


def test_a_network_with_a_state_is_refused_for_nothing_would_carry_it(lite: type[Lite]) -> None:
    h = TensorSpec(name="h", shape=(1, 4), dtype="float32")
    stateful = msgspec.structs.replace(variant(), state=(StateSpec(input=h, output=h),))
    with pytest.raises(BadModelError, match=r"m\.rknn has a state"):
        RknnSession(FILE, stateful)


def test_without_the_npu_the_next_variant_of_the_bundle_runs(make_bundle: MakeBundle) -> None:
    if probe.works("rknn") is None:
        pytest.skip("this machine has a Rockchip NPU")
    both = open_bundle(make_bundle("two-1.edge", "rknn", "litert", target="rk3588"))
    assert open_session(both).variant.runtime == "litert"
    alone = open_bundle(make_bundle("one-1.edge", "rknn", target="rk3588"))
    with pytest.raises(MissingExtraError, match="rknn: rknnlite is not installed") as caught:
        open_session(alone)
    assert "on the RK3588 itself" in caught.value.remedy


def test_a_board_is_known_by_its_device_tree(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(rknn, "COMPATIBLE", tmp_path / "compatible")
    assert not rknn.has_rockchip_npu()
    for names, there in (
        (b"radxa,rock-5b\0rockchip,rk3588\0", True),
        (b"raspberrypi,5-model-b\0brcm,bcm2712\0", False),
    ):
        (tmp_path / "compatible").write_bytes(names)
        assert rknn.has_rockchip_npu() is there
