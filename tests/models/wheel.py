"""What the real TFLite-Micro, from its Python wheel, says of models, in a child that may crash."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from harness.models import tflite

_PATIENCE_S = 20.0

_CHILD = """
import json, os, struct, sys, tempfile
import numpy as np
from tflite_micro import runtime

requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)
while header := requests.readline():
    asked = json.loads(header)
    model = requests.read(asked["model"])
    inputs = [np.frombuffer(requests.read(n), d).reshape(s) for d, s, n in asked["inputs"]]
    stage, outputs = "prepare", []
    with tempfile.TemporaryFile() as said:
        saved = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            interpreter = runtime.Interpreter.from_bytes(model, arena_size=asked["arena"])
            if asked["allocations"]:
                interpreter.print_allocations()
            stage = "invoke"
            for _ in range(asked["invokes"]):
                for index, array in enumerate(inputs):
                    if array.dtype.name != "uint16":  # which the wheel's Python cannot set
                        interpreter.set_input(array, index)
                interpreter.invoke()
            stage = "ran"
            outputs = [np.array(interpreter.get_output(i)) for i in range(asked["outputs"])]
        except RuntimeError:
            pass
        finally:
            os.dup2(saved, 2)
            os.close(saved)
        said.seek(0)
        text = said.read().decode("utf-8", "replace")
    forms = [[a.dtype.str, list(a.shape), a.nbytes] for a in outputs]
    answers.write(json.dumps({"stage": stage, "said": text, "outputs": forms}).encode() + b"\\n")
    for array in outputs:
        answers.write(array.tobytes())
    answers.flush()
"""


@dataclass(frozen=True)
class Asked:
    """A model to be prepared, and where `invokes` is not 0 run on `inputs` so many times."""

    model: bytes
    inputs: Sequence[np.ndarray] = ()
    invokes: int = 1
    arena: int = 1 << 20
    allocations: bool = False


@dataclass(frozen=True)
class Answer:
    """How far it came ("prepare" and "invoke" name what failed, "ran" is all of it), and what it said."""

    stage: str
    said: str
    outputs: list[np.ndarray] = field(default_factory=list)

    @property
    def ran(self) -> bool:
        return self.stage == "ran"


class Wheel:
    """A child with TFLite-Micro in it, begun anew whenever a model has crashed it; a context manager."""

    def __init__(self) -> None:
        pytest.importorskip("tflite_micro", reason="the tflite-micro wheel is for Linux on x86-64 alone")
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Wheel:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def ask(self, asked: Asked) -> Answer:
        """Return what TFLite-Micro makes of a model."""
        child = self._child or self._begin()
        assert child.stdin is not None
        assert child.stdout is not None
        outputs = len(tflite.parse(asked.model, "asked").subgraphs[0].outputs) if asked.invokes else 0
        header = {
            "model": len(asked.model),
            "inputs": [[a.dtype.str, list(a.shape), a.nbytes] for a in asked.inputs],
            "invokes": asked.invokes,
            "arena": asked.arena,
            "allocations": asked.allocations,
            "outputs": outputs,
        }
        # Indices of a wrong type may lead a kernel into a loop without end.
        patience = threading.Timer(_PATIENCE_S, child.kill)
        patience.start()
        try:
            child.stdin.write(json.dumps(header).encode() + b"\n" + asked.model)
            for array in asked.inputs:
                child.stdin.write(array.tobytes())
            child.stdin.flush()
            line = child.stdout.readline()
        except BrokenPipeError:
            line = b""
        finally:
            patience.cancel()
        if not line:
            self._end()
            return Answer("crash", f"signal {-child.returncode}")
        found = json.loads(line)
        arrays = [
            np.frombuffer(child.stdout.read(size), dtype).reshape(shape)
            for dtype, shape, size in found["outputs"]
        ]
        return Answer(found["stage"], found["said"], arrays)

    def _begin(self) -> subprocess.Popen[bytes]:
        self._child = subprocess.Popen(
            [sys.executable, "-c", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        return self._child

    def _end(self) -> None:
        if self._child is None:
            return
        child, self._child = self._child, None
        assert child.stdin is not None
        assert child.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            child.stdin.close()
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()
