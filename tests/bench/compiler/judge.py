"""`python judge.py FOLDER TASK`: what every file of one model says of the report part, and how long it takes.

One program for all files, ours and the peers': onnxruntime for .onnx, LiteRT for .tflite, one thread each, integer or
float input and output. Outputs go to NAME.out.npz and are kept; times are taken in turns, all files of the model in one
process, and go to times.npz (seconds, one row a file, one column a round).

Where a .tflite file ends in a soft-max, its scores before it are kept, too: behind it int8 has 256 steps for what float
spreads over many powers of ten. They come from a second run on the reference kernels, which keep inner tensors.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROUNDS, PER_ROUND, BUDGET_S = 41, 5, 2.0
Run = Callable[[np.ndarray], np.ndarray]


class OnnxFile:
    """An .onnx file open in onnxruntime."""

    def __init__(self, path: Path) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._input, self._output = self._session.get_inputs()[0], self._session.get_outputs()[0].name
        self._x: np.ndarray | None = None

    def set(self, x: np.ndarray) -> None:
        """One sample, batch included."""
        self._x = x

    def invoke(self) -> np.ndarray:
        """Its first output."""
        found: np.ndarray = self._session.run([self._output], {self._input.name: self._x})[0]
        return found

    read = invoke


class TfliteFile:
    """A .tflite file open in LiteRT; `inner` runs without XNNPACK, so that tensors inside may be read."""

    def __init__(self, path: Path, *, inner: bool = False) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        kind = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if inner else OpResolverType.AUTO
        self._interpreter = Interpreter(
            model_path=str(path),
            num_threads=1,
            experimental_op_resolver_type=kind,
            experimental_preserve_all_tensors=inner,
        )
        self._interpreter.allocate_tensors()
        self._in, self._out = self._interpreter.get_input_details()[0], self._interpreter.get_output_details()[0]

    def set(self, x: np.ndarray) -> None:
        """One sample; a file that wants channels last gets them."""
        wanted = tuple(self._in["shape"])
        if x.shape != wanted and np.moveaxis(x, 1, -1).shape == wanted:
            x = np.moveaxis(x, 1, -1)
        self._interpreter.set_tensor(self._in["index"], as_stored(x.reshape(wanted), self._in))

    def invoke(self) -> None:
        """Compute."""
        self._interpreter.invoke()

    def read(self) -> np.ndarray:
        """Compute; the first output in real values."""
        self.invoke()
        return self._real(self._out)

    def logits(self) -> np.ndarray | None:
        """Compute; what goes into the last soft-max, if the file ends in one."""
        operators = [op for op in self._interpreter._get_ops_details() if op["op_name"] == "SOFTMAX"]
        if not operators or self._shape(int(operators[-1]["outputs"][0])) != tuple(self._out["shape"]):
            return None
        self.invoke()
        index = int(operators[-1]["inputs"][0])
        return self._real(next(one for one in self._interpreter.get_tensor_details() if one["index"] == index))

    def _shape(self, index: int) -> tuple[int, ...]:
        return next(tuple(one["shape"]) for one in self._interpreter.get_tensor_details() if one["index"] == index)

    def _real(self, tensor: dict[str, Any]) -> np.ndarray:
        return as_real(self._interpreter.get_tensor(tensor["index"]), tensor)


def as_stored(x: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    """Real values -> what a tensor holds."""
    if tensor["dtype"] == np.float32:
        return x.astype(np.float32)
    scale, zero = tensor["quantization"]
    limits = np.iinfo(tensor["dtype"])
    return np.clip(np.round(x / scale + zero), limits.min, limits.max).astype(tensor["dtype"])


def as_real(values: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    """What a tensor holds -> real values."""
    if tensor["dtype"] == np.float32:
        return values
    scale, zero = tensor["quantization"]
    return (values.astype(np.float32) - zero) * np.float32(scale)


def open_file(path: Path) -> OnnxFile | TfliteFile:
    """By its ending."""
    return OnnxFile(path) if path.suffix == ".onnx" else TfliteFile(path)


def in_order(output: np.ndarray, x: np.ndarray, *, rebuilds: bool) -> np.ndarray:
    """Flat; what rebuilds its input channels-last is turned back."""
    if rebuilds and output.shape != x.shape and np.moveaxis(output, -1, 1).shape == x.shape:
        output = np.moveaxis(output, -1, 1)
    return output.astype(np.float32).ravel()


def outputs_of(path: Path, x: np.ndarray, *, rebuilds: bool) -> dict[str, np.ndarray]:
    """Outputs on every sample, and the scores before a soft-max."""
    opened, outputs = open_file(path), []
    for one in x:
        opened.set(one[None])
        outputs.append(in_order(opened.read(), one[None], rebuilds=rebuilds))
    found = {"outputs": np.stack(outputs)}
    inner = TfliteFile(path, inner=True) if path.suffix == ".tflite" else None
    scores = []
    for one in x if inner is not None else ():
        inner.set(one[None])  # type: ignore[union-attr]
        score = inner.logits()  # type: ignore[union-attr]
        if score is None:
            return found
        scores.append(score.ravel())
    return found | ({"logits": np.stack(scores)} if scores else {})


def times_of(paths: list[Path], x: np.ndarray) -> np.ndarray:
    """Median seconds of one inference, [files, rounds]; who begins moves on by one every round."""
    opened = [open_file(path) for path in paths]
    for each in opened:
        each.set(x[:1])
        for _ in range(5):
            each.invoke()
    rounds = np.zeros((len(opened), ROUNDS))
    for number in range(ROUNDS):
        for step in range(len(opened)):
            index = (step + number) % len(opened)
            rounds[index, number] = _median(opened[index].invoke)
    return rounds


def _median(invoke: Callable[[], object]) -> float:
    taken = []
    for _ in range(PER_ROUND):
        start = time.perf_counter()
        invoke()
        taken.append(time.perf_counter() - start)
        if sum(taken) > BUDGET_S / PER_ROUND:
            break
    return float(np.median(taken))


def judge(folder: Path, task: str) -> None:
    """Judge what has not been judged, and time all."""
    report = np.load(folder / "report.npz")
    kept = []
    for path in sorted(p for p in folder.iterdir() if p.suffix in {".onnx", ".tflite"} and ".pre" not in p.name):
        out = folder / f"{path.name}.out.npz"
        bad = folder / f"{path.name}.bad"
        if not out.exists() or out.stat().st_mtime < path.stat().st_mtime:
            try:
                np.savez(out, **outputs_of(path, report["x"], rebuilds=task == "anomaly"))
            except Exception as exc:  # noqa: BLE001 - onnxruntime's own errors share no public base
                bad.write_text(str(exc).splitlines()[0][:200])
                continue
        kept.append(path)
    np.savez(folder / "times.npz", names=np.array([path.name for path in kept]), seconds=times_of(kept, report["x"]))


if __name__ == "__main__":
    judge(Path(sys.argv[1]), sys.argv[2])
