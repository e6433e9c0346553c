"""Compile models with the real Vela, and run references in this process."""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.models import reference

_WORKER = Path(__file__).with_name("vela_worker.py")
_REGION_LOG_LINES = 3


@dataclass(frozen=True)
class Settings:
    """What Vela compiles for; `core` is regor (its default) or legacy, `memory` one of the worker's modes."""

    macs: int = 64
    core: str = "regor"
    optimise: str = "Performance"
    memory: str = "board"

    def __str__(self) -> str:
        return f"{self.macs}-{self.core}-{self.optimise}-{self.memory}"


@dataclass(frozen=True)
class Result:
    """A compiled model (None where Vela failed), its total cycles by Vela, and what Vela printed last."""

    data: bytes | None
    cycles: float
    log: str


def compile_all(models: Mapping[str, bytes], settings: Settings) -> dict[str, Result]:
    """Compile models by name."""
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        for name, data in models.items():
            (directory / f"{name}.tflite").write_bytes(data)
        command = [sys.executable, "-P", str(_WORKER), temporary, str(settings.macs), settings.core]
        subprocess.run([*command, settings.optimise, settings.memory], check=True, stdin=subprocess.DEVNULL)
        return {name: _result(directory, name) for name in models}


def compile_one(data: bytes, settings: Settings | None = None) -> bytes:
    """Compile one model that Vela is known to take."""
    result = compile_all({"model": data}, settings or Settings())["model"]
    assert result.data is not None, result.log
    return result.data


def _result(directory: Path, name: str) -> Result:
    compiled = directory / f"{name}_vela.tflite"
    log = (directory / f"{name}.log").read_text(errors="replace").strip().splitlines()
    said = "\n".join(log[-_REGION_LOG_LINES:])
    if not compiled.exists():
        return Result(None, 0.0, said or "Vela crashed")
    (summary,) = directory.glob(f"{name}_summary_*.csv")
    row = next(csv.DictReader(summary.open()))
    return Result(compiled.read_bytes(), float(row["cycles_total"]), said)


class Desktop:
    """The desktop runtime's reference kernels, with inputs and outputs by tensor name."""

    def __init__(self, model: bytes) -> None:
        from tflite_runtime.interpreter import Interpreter, OpResolverType

        self._interpreter = Interpreter(
            model_content=reference.mended(model), experimental_op_resolver_type=OpResolverType.BUILTIN_REF
        )
        self._interpreter.allocate_tensors()

    def random_inputs(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draw inputs uniformly over their types."""
        return {
            d["name"]: random_array(rng, d["shape"], d["dtype"])
            for d in self._interpreter.get_input_details()
        }

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        for detail in self._interpreter.get_input_details():
            self._interpreter.set_tensor(detail["index"], inputs[detail["name"]])
        self._interpreter.invoke()
        return {
            d["name"]: self._interpreter.get_tensor(d["index"])
            for d in self._interpreter.get_output_details()
        }


def random_array(rng: np.random.Generator, shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
    info = np.iinfo(dtype)
    return rng.integers(info.min, int(info.max) + 1, shape).astype(dtype)
