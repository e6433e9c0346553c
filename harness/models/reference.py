"""What a model's outputs should be: the desktop TFLite runtime with reference kernels, in a child process.

The child protects the caller: a hostile or damaged model may crash the runtime, exhaust its memory or
never end. It is ended with the handle, so that an interrupted caller leaves none behind.

State: every run is a new interpreter, so variables start at their initial value (zeros), as they do on a
device after the model is loaded. A device that has invoked a stateful model k times is to be compared
with `invokes=k`; for a model without state one invoke says it all, and only one is made.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import IO, TYPE_CHECKING

from harness import extras
from harness.errors import HarnessError
from harness.models import flatbuffer, tflite

if TYPE_CHECKING:
    import numpy as np

_RUNTIMES = {"tflite_runtime": "tflite-runtime", "ai_edge_litert": "ai-edge-litert"}
_TIMEOUT_S = 300.0
# The reference kernels of tflite-runtime 2.14 lack these, and their SUM of int8 is -1 whatever the input.
_BEYOND_REFERENCE = {"CEIL", "CUMSUM", "ELU", "ROUND"}
_STATE_OPERATORS = {"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL_ONCE"}


class ReferenceError(HarnessError):
    """The desktop runtime is missing, refused the model, or did not survive it."""


def runtime() -> tuple[str, str]:
    """Return the desktop runtime's package name and version; raises ReferenceError if there is none."""
    for module, package in _RUNTIMES.items():
        if extras.is_installed(module):
            return package, metadata.version(package)
    raise ReferenceError(str(extras.missing("tflite_runtime", "holding outputs against a reference")))


def kernels(model: tflite.Model) -> str:
    """Return which of the runtime's kernels compute `model`: the reference ones if they can."""
    for graph in model.subgraphs:
        for operator in graph.operators:
            summed = operator.code == "SUM" and graph.tensors[operator.outputs[0]].type == "int8"
            if summed or operator.code in _BEYOND_REFERENCE:
                return "optimised kernels"
    return "reference kernels"


class Reference:
    """A run of the desktop runtime that is under way; close it, or use it as a context manager."""

    def __init__(self, process: subprocess.Popen[bytes], answer: IO[bytes], log: IO[bytes]) -> None:
        self._process = process
        self._answer = answer
        self._log = log
        self._outputs: list[np.ndarray] | None = None

    def result(self, timeout_s: float = _TIMEOUT_S) -> list[np.ndarray]:
        """Wait for the outputs and return them, in the model's order.

        Raises ReferenceError when the runtime refused the model, crashed, or took longer than `timeout_s`.
        """
        if self._outputs is None:
            try:
                status = self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.close()
                raise ReferenceError(
                    f"the desktop runtime did not finish the model within {timeout_s:g} s"
                ) from None
            self._outputs = self._read(status)
            self.close()
        return self._outputs

    def close(self) -> None:
        """End the child if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._answer.close()
        self._log.close()

    def __enter__(self) -> Reference:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, status: int) -> list[np.ndarray]:
        import numpy as np

        self._answer.seek(0)
        answer = json.loads(self._answer.readline() or b"{}")
        if "error" in answer:
            raise ReferenceError(f"the desktop runtime refuses the model: {answer['error']}")
        if status != 0 or "outputs" not in answer:
            self._log.seek(0)
            last = self._log.read().decode(errors="replace").strip().splitlines()[-1:]
            how = f"signal {-status}" if status < 0 else f"status {status}"
            raise ReferenceError(": ".join([f"the desktop runtime crashed on the model ({how})", *last]))
        outputs = []
        for kind, shape in answer["outputs"]:
            dtype = np.dtype(kind)
            data = self._answer.read(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
            outputs.append(np.frombuffer(data, dtype).reshape(shape))
        return outputs


def start(model: bytes, inputs: Sequence[np.ndarray], *, invokes: int = 1) -> Reference:
    """Start the desktop runtime on a model and its inputs, and return at once.

    `inputs` have the model's order, shapes and types. `invokes` counts from the initial state (see above).
    Raises ReferenceError if there is no runtime, ModelError if the bytes are no model.
    """
    runtime()
    parsed = tflite.parse(model, "model")
    header = {
        "model": len(model),
        "inputs": [[array.dtype.str, list(array.shape)] for array in inputs],
        "invokes": invokes if has_state(parsed) else 1,
        "reference": kernels(parsed) == "reference kernels",
    }
    # Files rather than pipes: neither side ever waits for the other, and they vanish with their last user.
    answer, log = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 (Reference closes them)
    with tempfile.TemporaryFile() as request:
        request.write(json.dumps(header).encode() + b"\n" + mended(model))
        for array in inputs:
            request.write(array.tobytes())
        request.seek(0)
        # -P: this directory's module names must not shadow anything that the runtime imports.
        command = [sys.executable, "-P", str(Path(__file__).with_name("reference_child.py"))]
        process = subprocess.Popen(command, stdin=request, stdout=answer, stderr=log)
    return Reference(process, answer, log)


def run(
    model: bytes, inputs: Sequence[np.ndarray], *, invokes: int = 1, timeout_s: float = _TIMEOUT_S
) -> list[np.ndarray]:
    """Return the outputs of a model; raises ReferenceError as `Reference.result` does."""
    with start(model, inputs, invokes=invokes) as reference:
        return reference.result(timeout_s)


def mended(model: bytes) -> bytes:
    """Return a readable model without a flaw that the desktop runtime refuses and every device ignores.

    Old converters wrote the weights' quantised dimension (3) into the 1-D bias of a depthwise convolution
    too (person_detect.tflite has them). TFLite checks that the dimension exists, TFLite-Micro does not
    look. There is only one dimension such a tensor can mean, so it is set to 0 in place.
    """
    one_dimensional: set[int] = set()
    other: set[int] = set()  # tables may be shared, and those of larger tensors must stay as they are
    for subgraph in flatbuffer.root("Model", model, flatbuffer.ReadBudget(len(model))).tables("subgraphs"):
        for tensor in subgraph.tables("tensors"):
            quantization = tensor.table("quantization")
            axis = quantization.where("quantized_dimension") if quantization is not None else None
            if axis is not None:
                (one_dimensional if len(tensor.integers("shape")) == 1 else other).add(axis)
    copy = bytearray(model)
    for position in one_dimensional - other:
        copy[position : position + 4] = bytes(4)
    return bytes(copy)


def has_state(model: tflite.Model) -> bool:
    """Say whether a model may answer the same input differently on a later invoke."""
    return any(
        any(tensor.variable for tensor in subgraph.tensors)
        or any(operator.code in _STATE_OPERATORS for operator in subgraph.operators)
        for subgraph in model.subgraphs
    )
