"""What runs on an Ethos-U, and what the rewrites before Vela gain: writes placement.json and placement.md.

    python tests/bench/placement.py docs/benchmarks [SHARED_DATA]

Needs Vela. Networks that lie in no SHARED_DATA are left out, and the page says which.
"""

import sys
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import msgspec
import numpy as np
from placement_page import Cell, Report, write

from compiler.placement.ledger import Ledger, unexplained
from compiler.placement.place import place
from compiler.placement.vela import compile_for_npu, vela_tool
from compiler.plan import Plan
from compiler.quantize.workbench import Workbench
from edge.errors import BadModelError
from edge.target import load_target

ROOT = Path(__file__).parents[2]
TARGETS = ("ethos-u55-128", "ethos-u65-256", "ethos-u85-256")
PUBLISHED = {
    "MLPerf Tiny keyword spotting (DS-CNN)": "mlperf_tiny/kws_dscnn_int8.tflite",
    "MLPerf Tiny visual wake words (MobileNetV1 .25)": "mlperf_tiny/vww_mobilenet_int8.tflite",
    "MLPerf Tiny image classification (ResNet-8)": "mlperf_tiny/ic01_resnet8_int8.tflite",
    "MLPerf Tiny anomaly detection (autoencoder)": "mlperf_tiny/ad01_int8.tflite",
    "MobileNetV2 1.0, 224 px, from TensorFlow": "models/tf2_mobilenet_v2_1.0_224_ptq.tflite",
}
OURS = "MobileNetV2 .35, 96 px, from torch"


def main(folder: Path, shared: Path) -> None:
    """Place every network on every NPU."""
    cells, missing = [], []
    for name, load in networks(shared):
        content = load()
        if content is None:
            missing.append(name)
            continue
        for target in TARGETS:
            cells.append(measure(name, content, target))
            print(msgspec.json.encode(cells[-1]).decode(), flush=True)
    write(Report(tool=vela_tool(), cells=tuple(cells), missing=tuple(missing)), folder)


def networks(shared: Path) -> Iterator[tuple[str, Callable[[], bytes | None]]]:
    """Yield each network's name, and what reads or makes its int8 file; None where it is absent."""
    for name, file in PUBLISHED.items():
        path = shared / file
        yield name, lambda path=path: path.read_bytes() if path.is_file() else None  # type: ignore[misc]
    yield OURS, mobilenet


def measure(name: str, content: bytes, target_name: str) -> Cell:
    """Compile one network as it is, and as `edge compile` does."""
    target = load_target(target_name)
    before = compile_for_npu(content, target)
    try:
        after = place(content, target, move_input=False)
    except BadModelError as exc:
        return cell(name, target_name, before.ledger, before.estimate.cycles, refused=exc.problem)
    return msgspec.structs.replace(
        cell(name, target_name, before.ledger, before.estimate.cycles),
        on_npu_after=on_npu(after.ledger),
        operators_after=len(after.ledger.rows),
        cycles_after=after.estimate.cycles,
        estimated_ms=after.estimate.ms,
        left=tuple(f"{row.operator}: {row.reason}" for row in unexplained(after.ledger)),
        changes=after.changes,
    )


def cell(name: str, target: str, before: Ledger, cycles: int, refused: str = "") -> Cell:
    """Say what Vela does with a network as it is."""
    return Cell(
        network=name,
        target=target,
        on_npu_before=on_npu(before),
        operators_before=len(before.rows),
        cycles_before=cycles,
        left_before=tuple(f"{row.operator}: {row.reason}" for row in unexplained(before)),
        refused=refused,
    )


def on_npu(ledger: Ledger) -> int:
    """Count the operators that the NPU runs."""
    return sum(row.device == "npu" for row in ledger.rows)


def mobilenet() -> bytes:
    """Return the tests' own MobileNetV2 in int8: random weights and samples, for only its operators matter here."""
    import litert_torch

    spec = spec_from_file_location("mobilenetv2", ROOT / "tests" / "compiler" / "networks" / "mobilenetv2.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    network, example = module.load()
    content = bytes(litert_torch.convert(network, (example,)).model_content())
    rng = np.random.default_rng(0)
    samples = [rng.random((1, 3, 96, 96), np.float32) for _ in range(4)]
    return Workbench(content, "tflite", lambda: iter(samples)).make(Plan("litert", "int8")).content


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / ".." / "shared" / "data")
