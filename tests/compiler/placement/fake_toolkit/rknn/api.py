"""The part of rknn-toolkit2's interface that we call, on onnxruntime: for tests where the toolkit is not installed."""

from pathlib import Path

import numpy as np
import onnxruntime

TABLE = r"""D RKNN: [20:05:46.020] ID   OpType  DataType Target InputShape OutputShape Cycles(DDR/NPU/Total) RW(KB) FullName
D RKNN: [20:05:46.020] 0    InputOperator      INT8     CPU    \              (1,3,8,8)     0/0/0           0 InputOperator:x
D RKNN: [20:05:46.020] 1    ConvRelu           {dtype}     NPU    (1,3,8,8),(3,3,1,1) (1,3,8,8) 214/1024/1024   4 Conv:mix
D RKNN: [20:05:46.020] 2    Reshape            {dtype}     CPU    (1,3,1,1)      (1,3)         0/0/0           0 Reshape:flat
D RKNN: [20:05:46.020] 3    OutputOperator     INT8     CPU    (1,3)          \             0/0/0           0 OutputOperator:y
"""  # noqa: E501


class RKNN:
    """Refuses a model with a Sin; rounds to 1/32 when it quantizes."""

    def __init__(self, *, verbose: bool) -> None:
        self.verbose = verbose
        self.steps = 1e9

    def config(self, target_platform: str, quantized_algorithm: str = "normal") -> int:
        return 0 if target_platform == "rk3588" and quantized_algorithm in {"normal", "mmse"} else -1

    def load_onnx(self, model: str) -> int:
        if b"Sin" in Path(model).read_bytes():
            print("\x1b[1;31mE\x1b[0m load_onnx: Unsupport op: Sin!")
            return -1
        self.session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        return 0

    def build(self, *, do_quantization: bool, dataset: str) -> int:
        samples = [np.load(path) for path in Path(dataset).read_text().split()]
        self.steps = 32 if do_quantization and samples else 1e9
        print(TABLE.format(dtype="INT8" if do_quantization else "FLOAT16"))
        return 0

    def export_rknn(self, path: str) -> int:
        Path(path).write_bytes(b"RKNN" + int(self.steps).to_bytes(4))
        return 0

    def init_runtime(self) -> int:
        return 0

    def inference(self, inputs: list[np.ndarray], data_format: list[str] | None) -> list[np.ndarray]:
        name = self.session.get_inputs()[0].name
        assert data_format == (["nchw"] if inputs[0].ndim == 4 else None)
        return [np.round(one * self.steps) / self.steps for one in self.session.run(None, {name: inputs[0]})]
