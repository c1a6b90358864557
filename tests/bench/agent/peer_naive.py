"""A naive script, step by step as TensorFlow's own label_image.py: resize, a batch axis, set, invoke, get, sort."""

import time

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from peer_common import Job

job = Job()
interpreter = Interpreter(model_path=job.model, num_threads=1)
interpreter.allocate_tensors()
given, made = interpreter.get_input_details(), interpreter.get_output_details()
for number in range(job.total):
    frame = job.frame(number)
    start_ns = time.monotonic_ns()
    if frame.shape[0] != job.side:
        frame = cv2.resize(frame, (job.side, job.side))
    interpreter.set_tensor(given[0]["index"], np.expand_dims(frame, axis=0))
    interpreter.invoke()
    results = np.squeeze(interpreter.get_tensor(made[0]["index"])) / 255.0
    top = results.argsort()[-5:][::-1]
    label = int(top[0])
    job.taken_ns.append(time.monotonic_ns() - start_ns)
job.write()
