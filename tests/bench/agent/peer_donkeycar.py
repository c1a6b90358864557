"""donkeycar's vehicle loop: its own Vehicle and Memory, with a camera, a pilot and an actuator as parts.

The parts are ours, for donkeycar's own need TensorFlow or a camera; the pilot does what its TfLite interpreter does,
less the normalisation, which this model does not want.
"""

import time

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from donkeycar.vehicle import Vehicle
from peer_common import Job

job = Job()


class Camera:
    """Hands out a picture and stamps it."""

    number = 0

    def run(self):
        picture = job.shoot(self.number)
        self.number += 1
        self.start_ns = time.monotonic_ns()
        return picture


class Pilot:
    """Resizes as donkeycar's ImgResize would, and asks the model."""

    def __init__(self):
        self.interpreter = Interpreter(model_path=job.model, num_threads=1)
        self.interpreter.allocate_tensors()
        self.given = self.interpreter.get_input_details()[0]["index"]
        self.made = self.interpreter.get_output_details()[0]["index"]

    def run(self, picture):
        if picture.shape[0] != job.side:
            picture = cv2.resize(picture, (job.side, job.side))
        self.interpreter.set_tensor(self.given, picture[np.newaxis])
        self.interpreter.invoke()
        return int(np.argmax(self.interpreter.get_tensor(self.made)[0]))


class Actuator:
    """The decision has arrived."""

    def run(self, label):
        job.taken_ns.append(time.monotonic_ns() - camera.start_ns)


camera = Camera()
vehicle = Vehicle()
vehicle.add(camera, outputs=["cam/image_array"])
vehicle.add(Pilot(), inputs=["cam/image_array"], outputs=["pilot/label"])
vehicle.add(Actuator(), inputs=["pilot/label"])
vehicle.start(rate_hz=job.fps, max_loop_count=job.total)
job.write()
