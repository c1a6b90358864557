"""What one would write without an agent: a single loop of picture, numpy, LiteRT and arg-max; prints its times as JSON.

`python naive.py MODEL.tflite FRAMES.npy FRAMES_PER_SECOND COUNT`. Its pictures come as often as those of the agent
that it is compared with. It has no guard, no deadline, no records and no updates.
"""

import json
import sys
import time

import numpy as np
from ai_edge_litert.interpreter import Interpreter

MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
WARM_UP = 30  # as many as `edge bench` does not count


def main(model: str, frames: str, fps: float, count: int) -> None:
    """Run the loop, each picture when it is due."""
    interpreter = Interpreter(model_path=model, num_threads=1)
    interpreter.allocate_tensors()
    given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    pictures, seen = np.load(frames), []
    due_ns = time.monotonic_ns()
    for number in range(count + WARM_UP):
        due_ns += round(1e9 / fps)
        time.sleep(max(0, due_ns - time.monotonic_ns()) / 1e9)
        captured_ns = time.monotonic_ns()
        picture = pictures[number % len(pictures)].copy()  # a camera hands out a new array
        read_ns = time.monotonic_ns()
        x = (picture[..., ::-1].astype(np.float32) / 255 - MEAN) / STD
        if given["shape"][1] == 3:
            x = x.transpose(2, 0, 1)
        if given["dtype"] != np.float32:
            scale, zero_point = given["quantization"]
            x = np.clip(np.round(x / scale) + zero_point, -128, 127).astype(given["dtype"])
        interpreter.set_tensor(given["index"], x[np.newaxis])
        start_ns = time.monotonic_ns()
        interpreter.invoke()
        end_ns = time.monotonic_ns()
        int(np.argmax(interpreter.get_tensor(made["index"])[0]))
        seen.append((captured_ns, read_ns, start_ns, end_ns, time.monotonic_ns()))
    captured, read, start, end, done = np.array(seen[WARM_UP:]).T
    times = {
        "invoke_us": (end - start) / 1e3,
        "overhead_us": (done - read - (end - start)) / 1e3,
        "frame_age_ms": (done - captured) / 1e6,
    }
    print(
        json.dumps(
            {name: dict(zip(("p50", "p99"), np.percentile(t, [50, 99]), strict=True)) for name, t in times.items()}
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))
