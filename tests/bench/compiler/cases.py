"""The models of the compiler's benchmark, and the samples that each is judged on.

Sources: MLPerf Tiny's reference models (mlcommons/tiny), ResNet-20 (akamaster/pytorch_resnet_cifar10), UltraFace
(Linzaer), FastestDet (dog-qiuqiu), and what `tests/bench/zoo/train.py` trains. The files of others are not in this
repository: they are looked for in `shared/data` beside it or above it, and a model without its files is left out.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np

from edge.manifest import TaskName

ROOT = Path(__file__).parents[3]
SHARED = next((p / "shared" / "data" for p in ROOT.parents if (p / "shared" / "data").is_dir()), ROOT / "shared/data")
TINY, READY, MODELS = SHARED / "mlperf_tiny", SHARED / "ready", SHARED / "models"
ZOO = ROOT / "tests" / "bench" / "zoo" / "train.py"
Arrays = tuple[np.ndarray, np.ndarray | None]
"""x, and y; None: what the float model says is the truth, so agreement is all there is to judge."""


@dataclass(frozen=True, slots=True)
class Case:
    """One model, as `edge compile` takes it, and its samples."""

    model: str
    samples: Callable[[], Arrays]
    what: str
    """Network and samples in words."""
    task: TaskName = "classify"
    metric: str | None = None
    """Of the search; None: the task's own."""
    cnn: bool = True
    truth_known: bool = True
    """No: what the float model decides is the truth, so that the judge speaks of agreement, never of accuracy."""


def _npz(path: Path) -> Arrays:
    with np.load(path) as file:
        return file["x"].astype(np.float32), file["y"]


def _zoo(name: str) -> Arrays:
    folder = ROOT / ".cache" / "zoo"
    if not (folder / f"{name}.pt").exists() or not (folder / f"{name}.npz").exists():
        import subprocess

        subprocess.run([sys.executable, str(ZOO), name], check=True)
    return _npz(folder / f"{name}.npz")


def _persons() -> Arrays:
    """Photographs, 96 x 96, R, G, B in 0..1; 1 where a person covers at least half a percent of it.

    Source of the rule: A. Chowdhery et al., "Visual Wake Words Dataset", 2019, section 3.
    """
    boxes = json.loads((SHARED / "coco_sample" / "labels_yolo.json").read_text())
    files = _photographs()
    y = [any(int(b[0]) == 0 and b[3] * b[4] >= 0.005 for b in boxes.get(f.name, boxes.get(f.stem, []))) for f in files]
    return _pictures(files, 96, 96, rgb=True) / 255, np.array(y, np.int64)


def _photographs() -> list[Path]:
    return sorted((SHARED / "coco_sample").glob("*.jpg"))


def _pictures(files: list[Path], width: int, height: int, *, rgb: bool) -> np.ndarray:
    """[n, height, width, 3], 0..255."""
    import cv2

    pictures = [cv2.resize(cv2.imread(str(file)), (width, height), interpolation=cv2.INTER_AREA) for file in files]
    return np.stack(pictures)[..., :: -1 if rgb else 1].astype(np.float32)


def _faces() -> Arrays:
    x = _pictures(_photographs(), 320, 240, rgb=True)
    return ((x - 127) / 128).transpose(0, 3, 1, 2), None


def _street() -> Arrays:
    return _pictures(_photographs(), 352, 352, rgb=False).transpose(0, 3, 1, 2) / 255, None


def _things() -> Arrays:
    """Photographs for a classifier of a thousand things, R, G, B, normalised."""
    sys.path.insert(0, str(ZOO.parent))
    from efficientnet_lite import DEVIATION, MEAN, SIDE

    x = _pictures(_photographs(), SIDE, SIDE, rgb=True)
    return ((x - MEAN) / DEVIATION).transpose(0, 3, 1, 2), None


def _machine_sound() -> Arrays:
    """Windows of five frames of 128 log-mel bins from the one clip that the reference submission ships."""
    frames = np.fromfile(TINY / "ad01_normal_id_01_00000000_logmel.bin", "<f4").reshape(-1, 128)
    return np.stack([frames[i : i + 5].ravel() for i in range(len(frames) - 4)]), None


def resnet20() -> Any:
    """What `edge compile` loads: the network of `tests/compiler/networks` with its weights wherever they lie."""
    spec = util.spec_from_file_location("resnet20", ROOT / "tests" / "compiler" / "networks" / "resnet20.py")
    assert spec is not None
    assert spec.loader is not None
    module: Any = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.WEIGHTS = MODELS / "resnet20_cifar10.th"
    return module.load()


def _own(name: str, what: str, data: str | None = None, **more: Any) -> Case:
    return Case(f"{ZOO}:{name}", partial(_zoo, data or name), what, **more)


CASES: dict[str, Case] = {
    "keyword": _own("keyword", "DS-CNN, trained here on generated words"),
    "imbalanced": _own("imbalanced", "the same function, channels rescaled with sigma 1.8", "keyword"),
    "gru": _own("gru", "GRU, trained here on generated words", cnn=False),
    "transformer": _own("transformer", "two encoder layers, trained here on generated words", cnn=False),
    "autoencoder": _own(
        "autoencoder",
        "convolutions along time, trained here on a generated pump of eight sensors",
        task="anomaly",
        cnn=False,
    ),
    "mlperf_kws": Case(
        str(TINY / "kws_dscnn_fp32.tflite"),
        partial(_npz, READY / "kws.npz"),
        "MLPerf Tiny keyword spotting, DS-CNN, official stimuli",
    ),
    "mlperf_resnet8": Case(
        str(TINY / "ic01_resnet8_fp32.tflite"),
        partial(_npz, READY / "cifar10_nhwc_0_255.npz"),
        "MLPerf Tiny image classification, ResNet-8, CIFAR-10 test pictures from JPEG copies",
    ),
    "mlperf_vww": Case(
        str(TINY / "vww_mobilenet_fp32.tflite"),
        _persons,
        "MLPerf Tiny visual wake words, MobileNetV1 0.25, photographs of coco_sample",
    ),
    "mlperf_ad": Case(
        str(TINY / "ad01_fp32.tflite"),
        _machine_sound,
        "MLPerf Tiny anomaly detection, dense autoencoder, overlapping windows of its one public clip: "
        "SQNR and correlation of the outputs only",
        task="regress",
        metric="correlation",
        cnn=False,
    ),
    "resnet20": Case(
        f"{Path(__file__)}:resnet20",
        partial(_npz, READY / "cifar10_nchw_normalized.npz"),
        "ResNet-20, CIFAR-10 test pictures from JPEG copies",
    ),
    "mobilenet_v2": _own("mobilenet_v2", "MobileNetV2 0.5 at 96 px, trained here on photographs of traffic lights"),
    "efficientnet_lite0": Case(
        f"{ZOO}:efficientnet_lite0",
        _things,
        "EfficientNet-Lite0 at 224 px with its published weights, photographs of coco_sample: SQNR and agreement with "
        "the float model only, for these photographs have no labels of its thousand classes",
        truth_known=False,
    ),
    "ultraface": Case(
        str(MODELS / "ultraface_RFB_320.onnx"),
        _faces,
        "UltraFace RFB-320, scores of its 4,420 anchors on coco_sample: SQNR and correlation only",
        task="regress",
        metric="correlation",
    ),
    "fastestdet": Case(
        str(MODELS / "fastestdet_352.onnx"),
        _street,
        "FastestDet, its whole output map on coco_sample: SQNR and correlation only",
        task="regress",
        metric="correlation",
    ),
}
