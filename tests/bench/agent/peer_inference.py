"""roboflow's InferencePipeline with our own model function: its threads read, infer and dispatch."""

import time

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from inference import InferencePipeline
from inference.core.interfaces.camera.entities import SourceProperties, VideoFrameProducer
from peer_common import Job

job = Job()
interpreter = Interpreter(model_path=job.model, num_threads=1)
interpreter.allocate_tensors()
given, made = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
grabbed_ns = {}


class Producer(VideoFrameProducer):
    """A camera of a fixed rate."""

    def __init__(self):
        self.number, self.picture, self.released = 0, None, False

    def isOpened(self):  # noqa: N802 - the interface's own name
        return not self.released

    def grab(self):
        if self.number >= job.total:
            return False
        self.picture = job.frame(self.number).copy()  # frames wait in a queue
        self.number += 1
        return True

    def retrieve(self):
        grabbed_ns[self.number] = time.monotonic_ns()
        return True, self.picture

    def initialize_source_properties(self, properties):
        pass

    def discover_source_properties(self):
        height, width = job.camera
        return SourceProperties(
            width=width, height=height, total_frames=-1, is_file=False, fps=job.fps, is_reconnectable=False
        )

    def release(self):
        self.released = True


def infer(frames):
    """One picture in, one label out."""
    labels = []
    for frame in frames:
        picture = frame.image
        if picture.shape[0] != job.side:
            picture = cv2.resize(picture, (job.side, job.side))
        interpreter.set_tensor(given, picture[np.newaxis])
        interpreter.invoke()
        labels.append({"label": int(np.argmax(interpreter.get_tensor(made)[0]))})
    return labels


def on_prediction(prediction, frame):
    """The decision has arrived; a frame's id is the number of its grab."""
    frame = frame[0] if isinstance(frame, list) else frame
    job.taken_ns.append(time.monotonic_ns() - grabbed_ns[frame.frame_id])


pipeline = InferencePipeline.init_with_custom_logic(
    video_reference=Producer, on_video_frame=infer, on_prediction=on_prediction
)
pipeline.start(use_main_thread=True)
pipeline.join()
job.write(lost=job.total - len(job.taken_ns))
