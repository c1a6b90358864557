"""The floor: a bare invoke of LiteRT, one thread, when a frame would be due; its input was set once."""

import time

from ai_edge_litert.interpreter import Interpreter
from peer_common import Job

job = Job()
interpreter = Interpreter(model_path=job.model, num_threads=1)
interpreter.allocate_tensors()
for _ in range(job.total):
    job.wait()
    start_ns = time.monotonic_ns()
    interpreter.invoke()
    job.taken_ns.append(time.monotonic_ns() - start_ns)
job.write()
