"""mediapipe's ImageClassifier in LIVE_STREAM mode: its graph resizes, runs the model and calls back."""

import threading
import time

import mediapipe as mp
from mediapipe.tasks.python import BaseOptions
from mediapipe.tasks.python.vision import ImageClassifier, ImageClassifierOptions, RunningMode
from peer_common import Job

job = Job()
started_ns, heard = {}, threading.Event()


def on_result(result, image, timestamp_ms):
    """In a thread of the graph."""
    job.taken_ns.append(time.monotonic_ns() - started_ns.pop(timestamp_ms))


options = ImageClassifierOptions(
    base_options=BaseOptions(model_asset_path=job.model), running_mode=RunningMode.LIVE_STREAM, max_results=1,
    result_callback=on_result,
)  # fmt: skip
with ImageClassifier.create_from_options(options) as classifier:
    for number in range(job.total):
        frame, stamp_ms = job.frame(number), round(number * 1000 / job.fps) + 1
        started_ns[stamp_ms] = time.monotonic_ns()
        classifier.classify_async(mp.Image(image_format=mp.ImageFormat.SRGB, data=frame), stamp_ms)
    time.sleep(0.5)
job.write(lost=job.total - len(job.taken_ns))
