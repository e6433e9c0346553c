"""The child process of `harness.models.reference`: one model, its inputs on stdin, its outputs on stdout.

Run as a script, away from the package, with nothing but NumPy and the runtime. The request is a line of
JSON ({"model": bytes, "inputs": [[dtype, shape], ...], "invokes": n, "reference": whether by the reference
kernels}), the model, then the inputs' bytes; the answer a line of JSON ({"outputs": [[dtype, shape], ...]} or
{"error": text}) and the outputs' bytes.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import IO, Any

_MEMORY_LIMIT = 8 << 30  # address space in bytes: a model that asks for more is refused, not swapped for


def main() -> int:
    """Answer the request on stdin; return the exit status."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # die at once and quietly with the rest of the group
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the runtime prints must not get into the answer
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_LIMIT, _MEMORY_LIMIT))
    with answer:
        try:
            outputs = _run(sys.stdin.buffer)
        except (ValueError, RuntimeError, MemoryError) as error:
            text = " ".join(str(error).split()) or type(error).__name__
            answer.write(json.dumps({"error": text}).encode() + b"\n")
            return 0
        kinds = [[array.dtype.str, list(array.shape)] for array in outputs]
        answer.write(json.dumps({"outputs": kinds}).encode() + b"\n")
        for array in outputs:
            answer.write(array.tobytes())
    return 0


def _run(request: IO[bytes]) -> list[Any]:
    import numpy as np

    try:
        from tflite_runtime.interpreter import Interpreter, OpResolverType
    except ImportError:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

    header = json.loads(request.readline())
    model = request.read(header["model"])
    optimised = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    kernels = OpResolverType.BUILTIN_REF if header["reference"] else optimised
    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=kernels, num_threads=1)
    interpreter.allocate_tensors()
    inputs = []
    for kind, shape in header["inputs"]:
        dtype = np.dtype(kind)
        data = request.read(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
        inputs.append(np.frombuffer(data, dtype).reshape(shape))
    indices = [detail["index"] for detail in interpreter.get_input_details()]
    if len(indices) != len(inputs):
        raise ValueError(f"it takes {len(indices)} input(s), {len(inputs)} given")
    for _ in range(header["invokes"]):
        for index, array in zip(indices, inputs, strict=True):
            interpreter.set_tensor(index, array)  # each time: the planner may have reused its memory
        interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


if __name__ == "__main__":
    sys.exit(main())
